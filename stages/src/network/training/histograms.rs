//! Histograms of a network's weights, one for each epoch.
//!
//! They are part of every checkpoint, so that a training that continues from another's checkpoint has all of them from the
//! initial weights on. The settings of a training decide which epochs it outputs.
//!
//! The file is in the safetensors format. `epochs` i32 [k] holds the epochs. For each array of the network, `<name>/counts`
//! i32 [k, 30] holds the counts of 30 equal bins from the smallest to the largest number, and `<name>/figures` f32 [k, 4] the
//! smallest number, the largest, the mean and the mean square. There are 30 bins because TensorBoard shows 30. NaN and
//! infinite numbers are ignored.

use std::collections::BTreeMap;

use pipe_store::Bytes;

use crate::{
    network::Weights,
    stage::StageError,
    tensors::{TensorsReader, TensorsWriter},
};

/// The number of bins of a histogram.
const BINS: usize = 30;

/// The histogram of one array. NaN and infinite numbers are ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The smallest number, or 0 if none is finite.
    pub min: f32,
    /// The largest number, or 0 if none is finite.
    pub max: f32,
    /// The mean, or 0 if no number is finite.
    pub mean: f32,
    /// The mean of the squares, or 0 if no number is finite.
    pub mean_square: f32,
    /// The number of elements in each of 30 equal bins from `min` to `max`.
    pub counts: [u32; BINS],
}

/// Histograms of all arrays of a network after some epochs. Invariant: epochs ascend, and every epoch has the same arrays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histograms {
    epochs: Vec<u32>,
    arrays: BTreeMap<String, Vec<Histogram>>,
}

impl Histogram {
    /// Returns the histogram of `values`. The result is the same on every machine, because sums are in order and in f64.
    pub fn new(values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (mut n, mut sum, mut squares) = (0_u64, 0.0_f64, 0.0_f64);
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        for value in finite() {
            (min, max) = (min.min(value), max.max(value));
            let value = f64::from(value);
            (n, sum, squares) = (n + 1, sum + value, squares + value * value);
        }
        let mut counts = [0; BINS];
        if n == 0 {
            return Self { min: 0.0, max: 0.0, mean: 0.0, mean_square: 0.0, counts };
        }
        let low = f64::from(min);
        let bins_per_unit = BINS as f64 / (f64::from(max) - low);
        for value in finite() {
            // If all numbers are equal, this is 0 times infinity: NaN, which `as` casts to bin 0.
            let bin = ((f64::from(value) - low) * bins_per_unit) as usize;
            counts[bin.min(BINS - 1)] += 1;
        }
        Self { min, max, mean: (sum / n as f64) as f32, mean_square: (squares / n as f64) as f32, counts }
    }
}

impl Histograms {
    /// The file name among the outputs of a training.
    pub const FILE: &str = "histograms.safetensors";

    /// Adds the histograms of the weights after `epoch`. Does nothing if it is the last epoch that was added.
    ///
    /// # Panics
    /// If the arrays differ from those of earlier epochs, or if a later epoch was added before.
    pub fn push(&mut self, epoch: u32, weights: &Weights) {
        match self.epochs.last() {
            Some(last) if *last == epoch => return,
            Some(last) => {
                assert!(*last < epoch, "epochs must ascend");
                assert!(self.arrays.keys().eq(weights.0.keys()), "every epoch must have the same arrays");
            }
            None => {}
        }
        self.epochs.push(epoch);
        for (name, weight) in &weights.0 {
            self.arrays.entry(name.clone()).or_default().push(Histogram::new(&weight.values));
        }
    }

    /// Returns the histograms of every `every`th epoch (0, `every`, 2 `every` ..) and of the last epoch.
    ///
    /// # Panics
    /// If `every` is 0.
    pub fn thinned(&self, every: u32) -> Self {
        assert!(every > 0, "`every` must be at least 1");
        let is_kept = |epoch: &u32| epoch.is_multiple_of(every) || Some(epoch) == self.epochs.last();
        let kept: Vec<usize> = (0..self.epochs.len()).filter(|&at| is_kept(&self.epochs[at])).collect();
        let of_array =
            |(name, all): (&String, &Vec<Histogram>)| (name.clone(), kept.iter().map(|&at| all[at].clone()).collect());
        Self {
            epochs: kept.iter().map(|&at| self.epochs[at]).collect(),
            arrays: self.arrays.iter().map(of_array).collect(),
        }
    }

    /// Returns whether these are the histograms of all epochs from 0 to `last`, and of the arrays in `weights`.
    pub(crate) fn fit(&self, last: u32, weights: &Weights) -> bool {
        self.epochs.iter().copied().eq(0..=last) && self.arrays.keys().eq(weights.0.keys())
    }

    /// Returns the epochs, each with the histograms of its arrays by name.
    pub fn epochs(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = (&str, &Histogram)>)> {
        self.epochs
            .iter()
            .enumerate()
            .map(|(at, epoch)| (*epoch, self.arrays.iter().map(move |(name, all)| (name.as_str(), &all[at]))))
    }

    /// Returns the content of the file. Equal histograms give equal bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = TensorsWriter::default();
        let int = |n: u32| i32::try_from(n).expect("epochs and arrays have fewer than 2^31 items");
        let k = self.epochs.len();
        writer.i32("epochs", &[k], &self.epochs.iter().map(|epoch| int(*epoch)).collect::<Vec<_>>());
        for (name, all) in &self.arrays {
            let counts: Vec<i32> = all.iter().flat_map(|one| one.counts.map(int)).collect();
            let figures: Vec<f32> = all.iter().flat_map(|one| [one.min, one.max, one.mean, one.mean_square]).collect();
            writer.i32(format!("{name}/counts"), &[k, BINS], &counts);
            writer.f32(format!("{name}/figures"), &[k, 4], &figures);
        }
        writer.finish()
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// If `bytes` is not a file of histograms.
    pub fn read(bytes: Bytes) -> Result<Self, StageError> {
        let reader = TensorsReader::new(bytes)?;
        let wrong =
            |name: &str| StageError::failed(format!("histograms: `{name}` has an invalid shape or an invalid number"));
        let (epochs, _) = reader.i32("epochs")?;
        let k = epochs.len();
        let epochs: Vec<u32> =
            epochs.into_iter().map(u32::try_from).collect::<Result<_, _>>().map_err(|_| wrong("epochs"))?;
        if !epochs.is_sorted_by(|a, b| a < b) {
            return Err(wrong("epochs"));
        }
        let mut arrays = BTreeMap::new();
        for name in reader.names().filter_map(|name| name.strip_suffix("/counts")) {
            let (counts, shape) = reader.i32(&format!("{name}/counts"))?;
            let (figures, of_figures) = reader.f32(&format!("{name}/figures"))?;
            if shape != [k, BINS] || of_figures != [k, 4] || counts.iter().any(|count| *count < 0) {
                return Err(wrong(name));
            }
            let histogram = |(counts, figures): (&[i32; BINS], &[f32; 4])| Histogram {
                min: figures[0],
                max: figures[1],
                mean: figures[2],
                mean_square: figures[3],
                counts: counts.map(i32::cast_unsigned),
            };
            let all = counts.as_chunks().0.iter().zip(figures.as_chunks().0).map(histogram).collect();
            arrays.insert(name.to_owned(), all);
        }
        Ok(Self { epochs, arrays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Weight;

    fn weights(values: &[f32]) -> Weights {
        let weight = |values: &[f32]| Weight { shape: vec![values.len()], values: values.to_vec() };
        Weights([("a.bias".to_owned(), weight(&[0.5])), ("a.kernel".to_owned(), weight(values))].into())
    }

    #[test]
    fn counts_agree_with_a_direct_count() {
        // Bin i holds the numbers from its lower edge to the next bin's.
        let values: Vec<f32> = (0..500).map(|i| ((i * 7919) % 1009) as f32 / 100.0 - 3.0).collect();
        let histogram = Histogram::new(&values);
        assert_eq!(histogram.counts.iter().sum::<u32>(), 500);
        let edge =
            |i: usize| f64::from(histogram.min) + f64::from(histogram.max - histogram.min) * i as f64 / BINS as f64;
        for i in 0..BINS {
            let lies = |value: &&f32| {
                let value = f64::from(**value);
                value >= edge(i) && (value < edge(i + 1) || i + 1 == BINS)
            };
            let expected = values.iter().filter(lies).count() as i64;
            assert!(
                (i64::from(histogram.counts[i]) - expected).abs() <= 1,
                "bin {i}: {} and {expected}",
                histogram.counts[i]
            );
        }
        let mean = values.iter().sum::<f32>() / 500.0;
        assert!((histogram.mean - mean).abs() < 1e-4);
    }

    #[test]
    fn equal_numbers_share_a_bin_and_infinite_ones_are_ignored() {
        let histogram = Histogram::new(&[2.0, f32::NAN, 2.0, f32::INFINITY]);
        assert_eq!((histogram.min, histogram.max, histogram.counts[0]), (2.0, 2.0, 2));
        assert_eq!(histogram.counts.iter().sum::<u32>(), 2);
        assert_eq!(Histogram::new(&[f32::NAN]).counts, [0; BINS]);
    }

    #[test]
    fn thinned_histograms_are_of_every_kth_epoch_and_the_last() {
        let of = |epochs: &[u32]| {
            let mut histograms = Histograms::default();
            epochs.iter().for_each(|&epoch| histograms.push(epoch, &weights(&[epoch as f32, -1.0])));
            histograms
        };
        let all = of(&[0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(all.fit(7, &weights(&[1.0])) && !all.fit(6, &weights(&[1.0])) && !all.fit(7, &Weights::default()));
        assert_eq!(all.thinned(1), all);
        assert_eq!(all.thinned(2), of(&[0, 2, 4, 6, 7]));
        assert_eq!(all.thinned(7), of(&[0, 7]));
        assert_eq!(all.thinned(9), of(&[0, 7]));
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_has_each_epoch_once() {
        let mut histograms = Histograms::default();
        histograms.push(2, &weights(&[1.0, -1.0, 0.25]));
        histograms.push(4, &weights(&[3.0, -1.0, 0.5]));
        histograms.push(4, &weights(&[9.0]));
        let file = histograms.write();
        assert_eq!(Histograms::read(file.clone().into()).unwrap(), histograms);
        assert_eq!(file, Histograms::read(file.clone().into()).unwrap().write());
        let epochs: Vec<_> = histograms.epochs().map(|(epoch, arrays)| (epoch, arrays.count())).collect();
        assert_eq!(epochs, [(2, 2), (4, 2)]);
        assert!(Histograms::read(weights(&[1.0]).write().into()).is_err());
        assert!(!histograms.fit(4, &weights(&[1.0])), "epochs are missing");
        assert_eq!(Histograms::read(Histograms::default().write().into()).unwrap(), Histograms::default());
    }
}
