//! Whether the probabilities of predictions can be believed: accuracy by confidence, and the expected calibration error.

use pipe_stages::records::HeadPrediction;

/// The number of bins of a reliability diagram, as in the paper.
pub const BINS: usize = 15;

/// Accuracy by confidence, in bins of equal width (C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural
/// networks", ICML 2017). The confidence of a prediction is the probability of the predicted class.
#[derive(Debug, Clone, PartialEq)]
pub struct Reliability {
    /// Bin `b`, from 0, has the confidences above `b / BINS` and up to `(b + 1) / BINS`.
    pub bins: [Bin; BINS],
}

/// The predictions of one bin.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    pub images: u32,
    pub right: u32,
    /// The sum of the confidences.
    confidence: f64,
}

impl Bin {
    /// Returns the share of predictions that are right, or None if there are none.
    pub fn accuracy(&self) -> Option<f64> {
        (self.images > 0).then(|| f64::from(self.right) / f64::from(self.images))
    }

    /// Returns the mean confidence, or None if there are no predictions.
    pub fn confidence(&self) -> Option<f64> {
        (self.images > 0).then(|| self.confidence / f64::from(self.images))
    }
}

impl Reliability {
    pub(crate) fn new(said: &[HeadPrediction]) -> Self {
        let mut bins = [Bin::default(); BINS];
        for said in said {
            let confidence = f64::from(said.probability);
            let at = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            bins[at].images += 1;
            bins[at].right += u32::from(said.is_right());
            bins[at].confidence += confidence;
        }
        Self { bins }
    }

    /// Returns the number of predictions.
    pub fn images(&self) -> u32 {
        self.bins.iter().map(|bin| bin.images).sum()
    }

    /// Returns the expected calibration error, from 0 to 1: the mean over predictions of the distance between the accuracy and the
    /// mean confidence of their bin. None without predictions.
    pub fn error(&self) -> Option<f64> {
        let gap = |bin: &Bin| Some(f64::from(bin.images) * (bin.accuracy()? - bin.confidence()?).abs());
        self.mean(&gap)
    }

    /// Returns the mean confidence minus the accuracy: above 0 if the network is surer than it is right. None without predictions.
    pub fn overconfidence(&self) -> Option<f64> {
        self.mean(&|bin| Some(bin.confidence - f64::from(bin.right)))
    }

    fn mean(&self, of: &dyn Fn(&Bin) -> Option<f64>) -> Option<f64> {
        let images = self.images();
        (images > 0).then(|| self.bins.iter().filter_map(of).sum::<f64>() / f64::from(images))
    }
}
