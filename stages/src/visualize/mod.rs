//! `visualize_filters`: what each filter of a trained network looks for, found by gradient ascent in input space (Erhan et
//! al., "Visualizing higher-layer features of a deep network", 2009; as F. Chollet's and G. Chevalier's scripts do it).
//!
//! For each filter an image of grey noise is moved, step by step, along the gradient of the filter's mean activation. The
//! filters of a layer are climbed side by side, one image each. The network stands still: inference mode, no flips, no
//! gradients of weights.
//!
//! Where this differs from the seed's script: start image and steps are in the range that the network was trained on, and
//! an image stays within black and white; noise is seeded; no layer is random; a filter whose activation starts at or below
//! 0 climbs all the same; and the activation at the end is that of the last image, not of the one before it.

mod ascent;
mod picture;
mod target;
#[cfg(test)]
mod tests;

use pipe_store::Bytes;
use serde::{Deserialize, Serialize};

use self::{
    ascent::{Ascent, Climb},
    picture::Pictures,
    target::Target,
};
use crate::{
    augment::{Normalisation, Policy},
    dataset::ImageShape,
    model::{Architecture, Predictor},
    params::Float,
    stage::{Context, Inputs, Needs, Outputs, Progress, Stage, StageError, StageId},
};

/// The input slot: `architecture.json` of a training.
pub const ARCHITECTURE: &str = "architecture";
/// The input slot: the trained weights, as safetensors.
pub const WEIGHTS: &str = "weights";
/// The input slot, optional: the `policy.json` that the network was trained with. Without it bytes are x / 255 - 0.5.
pub const POLICY: &str = "policy";

/// The version of `filters.json`.
const FORMAT: u32 = 1;

/// Shows what the filters of a trained network look for.
///
/// Slots: [`ARCHITECTURE`], [`WEIGHTS`], [`POLICY`]. Outputs: `filters.json` with each filter's activation at start and
/// end, and for each layer with a living filter a sheet of its best, `<layer>_best_filters_<n*n>_(<n>x<n>)_out_of_<all>.png`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisualizeFilters {
    /// Names of layers, as in architecture.json. Default: every residual add, or every convolution where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// Steps of the ascent.
    #[serde(skip_serializing_if = "steps::is")]
    pub steps: u32,
    /// Length of a step: the root mean square, over an image's values, of what is added, in bytes (1/255 of the range).
    /// With the default almost no value reaches black or white in 20 steps; with 1, the classic length, the noise stays
    /// visible; from 4 on the strongest patterns saturate.
    #[serde(skip_serializing_if = "step::is")]
    pub step: f64,
    /// Most pictures side by side, and one above the other. Default: the largest square that the living filters fill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<u32>,
    #[serde(skip_serializing_if = "crate::params::is_default")]
    pub look: Look,
}

crate::defaults! {
    steps: u32 = 20;
    step: f64 = 2.0;
}

impl Default for VisualizeFilters {
    fn default() -> Self {
        Self { layers: Vec::new(), steps: steps::value(), step: step::value(), columns: None, look: Look::Classic }
    }
}

/// How an image becomes a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// Around mid-grey, all with the same contrast: a deviation of a tenth of the range.
    #[default]
    Classic,
    /// The very image that the filter answers to.
    Plain,
}

/// filters.json
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FiltersRecord {
    format: u32,
    /// In the order of the network.
    layers: Vec<LayerRecord>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct LayerRecord {
    layer: String,
    kind: String,
    filters: usize,
    /// Filters whose activation ends above 0: `filters - dead`.
    kept: usize,
    dead: usize,
    /// Filters on the sheet.
    drawn: usize,
    sheet: Option<String>,
    activations: Vec<ActivationRecord>,
}

/// A filter's mean activation by its start image and by its last.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ActivationRecord {
    filter: usize,
    start: Float,
    end: Float,
}

impl VisualizeFilters {
    /// Returns what is wrong with the values: (path inside the parameters, what was found and what is allowed).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            if self.layers[..i].contains(layer) {
                problems.push((format!("layers[{i}]"), format!("`{layer}` is named twice")));
            }
        }
        let mut check = |fine: bool, path: &str, message: String| {
            if !fine {
                problems.push((path.to_owned(), message));
            }
        };
        check((1..=10_000).contains(&self.steps), "steps", format!("found {}, allowed: 1 to 10000", self.steps));
        let fine = self.step > 0.0 && self.step <= 255.0;
        check(fine, "step", format!("found {}, allowed: above 0 and at most 255", self.step));
        let columns = self.columns.unwrap_or(1);
        check((1..=1000).contains(&columns), "columns", format!("found {columns}, allowed: 1 to 1000"));
        problems
    }
}

impl Stage for VisualizeFilters {
    fn id(&self) -> StageId {
        StageId { name: "visualize_filters", version: 1 }
    }

    fn needs(&self) -> Needs {
        Needs { seed: true, device: true }
    }

    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let architecture: Architecture = inputs.json(ARCHITECTURE)?;
        let targets = target::select(&architecture, &self.layers)?;
        let climbing = targets.iter().map(|target| target.batch() as u64 * target.bytes_per_image).max();
        // The file, the numbers read from it, and those on the device.
        let weights = 3 * 4 * architecture.parameters;
        let images: usize =
            targets.iter().map(|target| target.filters).sum::<usize>() * architecture.input.iter().product::<usize>();
        Ok(climbing.unwrap_or(0) + weights + 8 * images as u64 + (64 << 20))
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        if let Some((path, message)) = self.problems().into_iter().next() {
            return Err(StageError::failed(format!("{path}: {message}")));
        }
        let predictor = Predictor::load(&inputs.bytes(ARCHITECTURE)?, inputs.bytes(WEIGHTS)?, context.device)?;
        let architecture = predictor.architecture();
        let targets = target::select(architecture, &self.layers)?;
        let [channels, height, width] = architecture.input;
        let shape = ImageShape { channels, height, width };
        if channels != 1 && channels != 3 {
            return Err(StageError::failed(format!("images of {channels} channels cannot be drawn: expected 1 or 3")));
        }
        let normalisation = normalisation(inputs.optional(POLICY)?, shape)?;
        let ascent = Ascent {
            predictor: &predictor,
            shape,
            normalisation: &normalisation,
            steps: self.steps,
            step: self.step as f32,
            seed: context.seed,
        };
        let pictures = Pictures { shape, normalisation: &normalisation, look: self.look, columns: self.columns };
        self.climb_all(&targets, &ascent, &pictures, context)
    }
}

impl VisualizeFilters {
    fn climb_all(
        &self,
        targets: &[Target],
        ascent: &Ascent<'_>,
        pictures: &Pictures<'_>,
        context: &Context<'_>,
    ) -> Result<Outputs, StageError> {
        let total = targets.iter().map(|target| target.filters as u64).sum();
        let tell = |done: u64| {
            context.host.progress(&Progress { done, total, unit: "filters".into(), ..Progress::default() });
        };
        let mut done = 0;
        let mut outputs = Outputs::default();
        let mut layers = Vec::new();
        for target in targets {
            let mut climbs = Vec::with_capacity(target.filters);
            for filters in target.batches() {
                let n = filters.len() as u64;
                climbs.extend(ascent.climb(target, filters, &mut |step| {
                    tell(done + n * u64::from(step) / u64::from(self.steps));
                    if context.host.interrupted() { Err(StageError::Interrupted) } else { Ok(()) }
                })?);
                done += n;
            }
            let sheet = pictures.sheet(&climbs).map(|sheet| (sheet.name(target), sheet));
            layers.push(record(target, &climbs, sheet.as_ref().map(|(name, sheet)| (name.clone(), sheet.drawn()))));
            if let Some((name, sheet)) = sheet {
                outputs.insert(name, sheet.png());
            }
        }
        tell(done);
        Ok(outputs.with_json("filters.json", &FiltersRecord { format: FORMAT, layers }))
    }
}

fn record(target: &Target, climbs: &[Climb], sheet: Option<(String, usize)>) -> LayerRecord {
    let kept = climbs.iter().filter(|climb| climb.is_alive()).count();
    let activation =
        |climb: &Climb| ActivationRecord { filter: climb.filter, start: Float(climb.start), end: Float(climb.end) };
    LayerRecord {
        layer: target.layer.clone(),
        kind: target.kind.clone(),
        filters: target.filters,
        kept,
        dead: target.filters - kept,
        drawn: sheet.as_ref().map_or(0, |(_, drawn)| *drawn),
        sheet: sheet.map(|(name, _)| name),
        activations: climbs.iter().map(activation).collect(),
    }
}

/// Returns how bytes become the numbers that the network was trained on.
fn normalisation(policy: Option<Bytes>, shape: ImageShape) -> Result<Normalisation, StageError> {
    let Some(bytes) = policy else {
        let channels = shape.channels;
        return Ok(Normalisation { scale: vec![1.0 / 255.0; channels], offset: vec![-0.5; channels] });
    };
    let policy: Policy = serde_json::from_slice(&bytes)
        .map_err(|error| StageError::failed(format!("the record in the slot `{POLICY}` does not fit: {error}")))?;
    policy.check(shape)?;
    Ok(policy.normalisation().clone())
}
