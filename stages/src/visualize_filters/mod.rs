//! `visualize_filters`: shows what each filter of a trained network responds to.
//!
//! The image that excites a filter is found by gradient ascent, either on pixels (Erhan et al., "Visualizing higher-layer
//! features of a deep network", 2009, as in the scripts of F. Chollet and G. Chevalier) or in a Fourier basis (`fourier.rs`).
//! The images of the validation split that excite the filter most are shown beside it (`exciting.rs`).
//!
//! The classic method starts from an image of grey noise for each filter and moves it, step by step, along the gradient of
//! the filter's mean activation. The filters of a layer climb together, one image each. The network does not change: it is in
//! inference mode, without flips and without gradients with respect to weights.
//!
//! Differences from the original script:
//! - The start image and the steps are in the range that the network was trained on, and an image stays between black and
//!   white.
//! - The noise is seeded, and no layer is random.
//! - A filter whose activation starts at or below 0 climbs too.
//! - The activation reported at the end belongs to the last image, not to the one before it.

mod ascent;
mod cholesky;
mod colours;
mod exciting;
mod fourier;
mod look;
mod method;
mod picture;
mod record;
mod spectrum;
mod target;
#[cfg(test)]
mod tests;

use self::{
    ascent::{Ascent, Climb, Climber},
    colours::Colours,
    exciting::{Examples, Validation},
    fourier::FourierAscent,
    picture::Pictures,
    spectrum::Spectrum,
    target::Target,
};
pub use self::{
    look::Look,
    method::{Fourier, Method},
    record::{FilterActivation, FiltersRecord, LayerFilters},
};
use crate::{
    device::DeviceKind,
    images::{
        Policy,
        dataset::{Dataset, ImageShape, Labels},
    },
    network::{Architecture, Predictor, training::data::checked},
    parameters,
    params::{Domain, Float},
    problem::{Path, Problem},
    records::Version,
    stage::{Context, Inputs, Needs, Outputs, Progress, Stage, StageError, StageId},
};

/// The input slot of the network's `architecture.json`.
pub const ARCHITECTURE: &str = "architecture";
/// The input slot of the trained weights, as safetensors.
pub const WEIGHTS: &str = "weights";
/// The optional input slot of the `policy.json` that the network was trained with. Without it a byte x becomes x / 255 - 0.5.
pub const POLICY: &str = "policy";
/// The input slot of the training split, whose colours [`Method::Fourier`] decorrelates. The classic method does not need it.
pub const TRAIN: &str = "train";
/// The optional input slot of the validation split, from which examples are taken. Without it there are no examples.
pub const VALIDATION: &str = "validation";
/// The input slot of the `labels.json` of [`VALIDATION`], needed if that is connected.
pub const LABELS: &str = "labels";

parameters! {
    /// Shows what the filters of a trained network look for.
    ///
    /// Slots: [`ARCHITECTURE`], [`WEIGHTS`], [`POLICY`], [`TRAIN`], [`VALIDATION`], [`LABELS`].
    ///
    /// Outputs:
    /// - `filters.json`: each filter's activation at the start and at the end.
    /// - `<layer>_best_filters_<n*n>_(<n>x<n>)_out_of_<all>.png`: the best filters of a layer, for each layer with a living
    ///   filter. The Fourier method calls it `<layer>_fourier_filters_..`.
    /// - `examples.json`, and `<layer>_examples.png` for each layer with a sheet, if there is a validation split. The picture
    ///   has a row for each filter on the sheet, in the same order: the filter's picture, then the images that excite it most,
    ///   the most exciting first.
    pub struct VisualizeFilters = defaults where method_and_settings_fit {
        /// Names of layers, as in `architecture.json`. Defaults to every residual sum, or every convolution if there is none.
        layers: Vec<String> = Vec::new(),
        /// How the image of a filter is found.
        method: Method = Method::Classic,
        /// The number of validation images that are drawn for each filter: those that excite it most.
        examples: u32 [Domain::Whole(0..=100)] = 8,
        /// The number of steps of the `Classic` ascent.
        steps: u32 [Domain::Whole(1..=10_000)] = 20,
        /// Length of a step of the `Classic` ascent: the root mean square of what is added to an image, in bytes (1/255 of the
        /// range). With 1, the length in the literature, noise stays visible; from 4 on the strongest patterns saturate.
        step: f64 [Domain::AboveUpTo(0.0, 255.0)] = 2.0,
        /// The most pictures in a row, and in a column. Defaults to the largest square that the living filters fill.
        columns: Option<u32> [Domain::Whole(1..=1000)],
        /// How an image of the `Classic` ascent is drawn: all with the same contrast, or (`Plain`) as it is.
        look: Look = Look::Classic,
    }
}

impl VisualizeFilters {
    fn method_and_settings_fit(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        for (i, layer) in self.layers.iter().enumerate().filter(|(i, layer)| self.layers[..*i].contains(layer)) {
            problems.push(Problem::new(at.name("layers").index(i), format!("`{layer}` is named twice")));
        }
        if let Method::Fourier(_) = &self.method {
            let classic = Self::default();
            let changed = [
                ("steps", self.steps != classic.steps),
                ("step", self.step != classic.step),
                ("look", self.look != classic.look),
            ];
            for (name, _) in changed.into_iter().filter(|(_, is_changed)| *is_changed) {
                let problem = Problem::new(at.name(name), format!("`{name}` belongs to the classic method"));
                problems.push(problem.expected("settings of `Fourier(..)`"));
            }
        }
        self
    }
}

impl Stage for VisualizeFilters {
    fn id(&self) -> StageId {
        StageId { name: "visualize_filters", version: 1 }
    }

    fn needs(&self) -> Needs {
        Needs { seed: true, device: true, ..Needs::default() }
    }

    /// Of the host. With a CPU's batches, because larger ones are in the memory of a card.
    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let architecture: Architecture = inputs.record(ARCHITECTURE)?;
        let targets = target::select(&architecture, &self.layers)?;
        let of_batch = |target: &Target| {
            target.batch(DeviceKind::Cpu).max(exciting::batch(&targets)) as u64 * target.bytes_per_image
        };
        let climbing = targets.iter().map(of_batch).max();
        // The file's bytes, the numbers read from it, and the numbers on the device.
        let weights = 3 * 4 * architecture.parameters;
        let images: usize =
            targets.iter().map(|target| target.filters).sum::<usize>() * architecture.input.iter().product::<usize>();
        Ok(climbing.unwrap_or(0) + weights + 8 * images as u64 + (64 << 20))
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        let predictor = Predictor::load(inputs.record(ARCHITECTURE)?, inputs.bytes(WEIGHTS)?, context.device)?;
        let architecture = predictor.architecture();
        let targets = target::select(architecture, &self.layers)?;
        let [channels, height, width] = architecture.input;
        let shape = ImageShape { channels, height, width };
        if channels != 1 && channels != 3 {
            return Err(StageError::failed(format!("images of {channels} channels cannot be drawn: expected 1 or 3")));
        }
        let policy = Policy::of_inputs(inputs, shape)?;
        let normalisation = policy.normalisation();
        let (seed, predictor) = (context.seed, &predictor);
        let pictures = |look, called| Pictures { shape, normalisation, look, called, columns: self.columns };
        let examples = self.find_examples(inputs, predictor, &targets, &policy, context)?;
        match &self.method {
            Method::Classic => {
                let (steps, step) = (self.steps, self.step as f32);
                let ascent = Ascent { predictor, shape, normalisation, steps, step, seed };
                self.climb_all(&targets, &ascent, &pictures(self.look, "best_filters"), examples, context)
            }
            Method::Fourier(settings) => {
                let train = Dataset::read(inputs.bytes(TRAIN)?)?;
                fits(train.image_shape(), TRAIN, shape)?;
                let colours = Colours::of(train.images(), shape);
                let spectrum = Spectrum::new(height, width);
                let ascent = FourierAscent { predictor, shape, normalisation, settings, spectrum, colours, seed };
                self.climb_all(&targets, &ascent, &pictures(Look::Plain, "fourier_filters"), examples, context)
            }
        }
    }
}

impl VisualizeFilters {
    /// Returns the images that excite the filters most, or none if there is no split, it is empty or no images are asked for.
    fn find_examples(
        &self,
        inputs: &Inputs<'_>,
        predictor: &Predictor,
        targets: &[Target],
        policy: &Policy,
        context: &Context<'_>,
    ) -> Result<Option<Examples>, StageError> {
        let Some(bytes) = inputs.optional(VALIDATION)?.filter(|_| self.examples > 0) else { return Ok(None) };
        let labels: Labels = inputs.record(LABELS)?;
        let data = checked(Dataset::read(bytes)?, VALIDATION, &labels)?;
        let [channels, height, width] = predictor.architecture().input;
        fits(data.image_shape(), VALIDATION, ImageShape { channels, height, width })?;
        if data.is_empty() {
            return Ok(None);
        }
        let total = data.len() as u64;
        let at_image = &mut |done: usize| {
            let progress = Progress { done: done as u64, total, unit: "images".into(), ..Progress::default() };
            context.host.progress(&progress);
            if context.host.interrupted() { Err(StageError::Interrupted) } else { Ok(()) }
        };
        Examples::find(predictor, targets, Validation { data, labels }, policy, self.examples as usize, at_image)
            .map(Some)
    }

    fn climb_all(
        &self,
        targets: &[Target],
        ascent: &dyn Climber,
        pictures: &Pictures<'_>,
        examples: Option<Examples>,
        context: &Context<'_>,
    ) -> Result<Outputs, StageError> {
        let total = targets.iter().map(|target| target.filters as u64).sum();
        let tell = |done: u64| {
            context.host.progress(&Progress { done, total, unit: "filters".into(), ..Progress::default() });
        };
        let mut done = 0;
        let mut outputs = Outputs::default();
        let (mut layers, mut of_examples) = (Vec::new(), Vec::new());
        for target in targets {
            let mut climbs = Vec::with_capacity(target.filters);
            for filters in target.batches(context.device.kind) {
                let n = filters.len() as u64;
                climbs.extend(ascent.climb(target, filters, &mut |step| {
                    tell(done + n * u64::from(step) / u64::from(ascent.steps()));
                    if context.host.interrupted() { Err(StageError::Interrupted) } else { Ok(()) }
                })?);
                done += n;
            }
            let sheet = pictures.sheet(&climbs).map(|sheet| (sheet.name(target), sheet));
            layers.push(record(target, &climbs, sheet.as_ref().map(|(name, sheet)| (name.clone(), sheet.drawn()))));
            if let Some((name, sheet)) = sheet {
                outputs.insert(name, sheet.png());
                if let Some(examples) = &examples {
                    let (record, png) = examples.of_sheet(target, &sheet);
                    outputs.insert(record.sheet.clone(), png);
                    of_examples.push(record);
                }
            }
        }
        tell(done);
        if let Some(examples) = &examples {
            outputs = outputs.with_record(&examples.whole(of_examples));
        }
        let method = self.method.clone();
        Ok(outputs.with_record(&FiltersRecord { format: Version, method, layers }))
    }
}

/// Checks that the images of a split have the shape that the network takes.
fn fits(found: ImageShape, slot: &str, expected: ImageShape) -> Result<(), StageError> {
    let message = || format!("images of the split `{slot}` are {found:?}, but the network takes {expected:?}");
    if found == expected { Ok(()) } else { Err(StageError::failed(message())) }
}

fn record(target: &Target, climbs: &[Climb], sheet: Option<(String, usize)>) -> LayerFilters {
    let kept = climbs.iter().filter(|climb| climb.is_alive()).count();
    let activation =
        |climb: &Climb| FilterActivation { filter: climb.filter, start: Float(climb.start), end: Float(climb.end) };
    LayerFilters {
        layer: target.layer.clone(),
        kind: target.kind.to_owned(),
        filters: target.filters,
        kept,
        dead: target.filters - kept,
        drawn: sheet.as_ref().map_or(0, |(_, drawn)| *drawn),
        sheet: sheet.map(|(name, _)| name),
        activations: climbs.iter().map(activation).collect(),
    }
}
