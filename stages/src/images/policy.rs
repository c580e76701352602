//! A policy: how the images of one dataset are normalised and randomly changed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Augmentation, Edges,
    augmentation::Scene,
    draws::Draws,
    geometry::AffineMap,
    mixing::{Mixer, Mixture},
    normalisation::Normalisation,
};
use crate::{
    images::dataset::{Dataset, ImageShape},
    params::{Domain, Read, Unfilled, is_default},
    records::{Record, Version},
    stage::{Inputs, StageError},
};

/// `policy.json`: how images are normalised and randomly changed before a network sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", deny_unknown_fields)]
pub struct Policy {
    #[serde(skip_serializing_if = "is_default")]
    pub(super) fill: Edges,
    format: Version<1>,
    normalise: Normalisation,
    policy: Vec<Augmentation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default)]
    fill: Edges,
    format: Version<1>,
    normalise: Normalisation,
    policy: Vec<Augmentation>,
}

impl TryFrom<Fields> for Policy {
    type Error = String;

    fn try_from(Fields { fill, format, normalise, policy }: Fields) -> Result<Self, String> {
        let Normalisation { scale, offset } = &normalise;
        if scale.is_empty() || scale.len() != offset.len() {
            return Err(format!(
                "the policy has {} scales and {} offsets, expected the same number",
                scale.len(),
                offset.len()
            ));
        }
        if !scale.iter().all(|x| x.is_finite() && *x > 0.0) || !offset.iter().all(|x| x.is_finite()) {
            return Err("the policy's scales and offsets are not finite, or a scale is not positive".to_owned());
        }
        Ok(Self { fill, format, normalise, policy })
    }
}

impl Record for Policy {
    const FILE: &'static str = "policy.json";
    const FORMAT: u32 = 1;
}

impl Policy {
    pub(crate) fn new(normalise: Normalisation, policy: Vec<Augmentation>, fill: Edges) -> Self {
        Self { fill, format: Version, normalise, policy }
    }

    /// Returns the policy that is used without a `policy.json`: a byte x becomes x / 255 - 0.5, and there are no random changes.
    pub fn plain(channels: usize) -> Self {
        let normalise = Normalisation { scale: vec![1.0 / 255.0; channels], offset: vec![-0.5; channels] };
        Self::new(normalise, Vec::new(), Edges::Black)
    }

    /// Returns the policy in the slot `policy`, or the [`plain`](Self::plain) policy if the slot is not connected.
    ///
    /// # Errors
    /// If the input is not a policy or cannot be read, or the policy does not fit images of `shape`.
    pub fn of_inputs(inputs: &Inputs<'_>, shape: ImageShape) -> Result<Self, StageError> {
        let policy = match inputs.digest("policy") {
            Some(_) => inputs.record("policy")?,
            None => Self::plain(shape.channels),
        };
        policy.check(shape)?;
        Ok(policy)
    }

    /// Returns how bytes become numbers.
    pub fn normalisation(&self) -> &Normalisation {
        &self.normalise
    }

    /// Returns the random changes, in the order in which they are made.
    pub fn augmentations(&self) -> &[Augmentation] {
        &self.policy
    }

    /// Checks that the policy fits images of `shape`. Call it before [`fill`](Self::fill).
    ///
    /// # Errors
    /// If the policy is for another number of channels, or a change does not fit the images' size.
    pub fn check(&self, shape: ImageShape) -> Result<(), StageError> {
        let channels = self.normalise.scale.len();
        if channels != shape.channels {
            let found = shape.channels;
            let message = format!("the policy is for images of {channels} channels, found {found}");
            return Err(StageError::failed_with_hint(message, "connect an `augment` node of the same dataset"));
        }
        self.misfit(shape).map_or(Ok(()), |message| Err(StageError::failed(message)))
    }

    /// Returns why a change does not fit images of `shape`. A change with a label is not checked.
    pub(crate) fn misfit(&self, shape: ImageShape) -> Option<String> {
        self.policy.iter().find_map(|operation| operation.misfit(shape))
    }

    /// Returns the policy with each label replaced by the value proposed for it.
    ///
    /// # Errors
    /// If `labels` has no value for a label, or the value is not allowed.
    pub(crate) fn filled_in(&self, labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        Ok(Self { policy: self.policy.settled(&Domain::Any, "policy", labels)?, ..self.clone() })
    }

    /// Returns the policy without the changes that have a label, and their names.
    pub(crate) fn without_labels(&self) -> (Self, Vec<&'static str>) {
        let (left_out, policy): (Vec<_>, Vec<_>) = self.policy.iter().cloned().partition(Augmentation::has_label);
        (Self { policy, ..self.clone() }, left_out.iter().map(Augmentation::name).collect())
    }

    /// Returns whether images are mixed.
    pub(crate) fn mixes(&self) -> bool {
        self.policy.iter().any(Augmentation::mixes)
    }

    /// Returns how the image at `position` in the order of `n` images of `epoch` is mixed with another one, which is changed
    /// for the same epoch. `None` if it is not mixed.
    ///
    /// # Panics
    /// If the change that mixes has a label.
    pub(crate) fn mixture(
        &self,
        shape: ImageShape,
        n: usize,
        position: usize,
        epoch: u32,
        seed: u64,
    ) -> Option<Mixture> {
        let place = self.policy.iter().position(Augmentation::mixes)?;
        let mixers: Vec<Mixer> = self.policy.iter().filter_map(Augmentation::mixer).collect();
        let position_of = u32::try_from(position).expect("a split has fewer than 2^32 images");
        Mixture::draw(&mixers, shape, position, n, &mut Draws::new(seed, epoch, place as u32, position_of))
    }

    /// Fills `out`, `[batch, c, h, w]`, with the normalised images of `dataset` at `indices`. With an `epoch`, counted from 0,
    /// images are also changed randomly. `seed`, `epoch` and the image's index decide how. Without an epoch, as for validation
    /// and test images, there are no random changes. Images are mixed later.
    ///
    /// # Panics
    /// Panics if `out` has another length, an index is not in the split, the policy does not fit the images, or there is an
    /// epoch and a change has a label.
    pub fn fill(&self, dataset: &Dataset, indices: &[u32], epoch: Option<u32>, seed: u64, out: &mut [f32]) {
        let mut filler = self.filler(dataset.image_shape());
        let size = filler.shape.bytes();
        assert_eq!(out.len(), indices.len() * size, "`out` must have room for each image");
        for (index, image) in indices.iter().zip(out.chunks_exact_mut(size)) {
            filler.fill(dataset, *index, epoch, seed, image);
        }
    }

    /// Returns the policy, ready for images of `shape`.
    ///
    /// # Panics
    /// Panics if the policy is for another number of channels.
    pub(crate) fn filler(&self, shape: ImageShape) -> Filler<'_> {
        assert_eq!(shape.channels, self.normalise.scale.len(), "the policy must be for this number of channels");
        let table = self.table();
        let black = table.iter().map(|values| values[0]).collect();
        Filler { policy: self, shape, table, black, scratch: Vec::new() }
    }

    /// Returns the normalised values of the bytes 0 and 255, for each channel.
    pub fn range(&self) -> Vec<[f32; 2]> {
        self.table().iter().map(|values| [values[0], values[255]]).collect()
    }

    /// Returns the bytes that are nearest to an image's normalised `values`, `[c, h, w]`.
    ///
    /// # Panics
    /// Panics if the number of values is not a multiple of the number of channels.
    pub fn denormalise(&self, values: &[f32]) -> Vec<u8> {
        let Normalisation { scale, offset } = &self.normalise;
        assert_eq!(values.len() % scale.len(), 0, "the planes must have equal sizes");
        let planes = values.chunks_exact(values.len() / scale.len());
        let byte = |value: f32, scale: f32, offset: f32| ((value - offset) / scale).round().clamp(0.0, 255.0) as u8;
        planes
            .zip(scale.iter().zip(offset))
            .flat_map(|(plane, (scale, offset))| plane.iter().map(move |value| byte(*value, *scale, *offset)))
            .collect()
    }

    /// Returns, for each channel, the normalised values of the bytes 0 to 255.
    fn table(&self) -> Vec<[f32; 256]> {
        let Normalisation { scale, offset } = &self.normalise;
        let values = |(scale, offset): (&f32, &f32)| std::array::from_fn(|byte| byte as f32 * scale + offset);
        scale.iter().zip(offset).map(values).collect()
    }
}

/// A policy that is ready for images of one shape: what all of them need is computed once.
pub(crate) struct Filler<'a> {
    policy: &'a Policy,
    shape: ImageShape,
    /// The normalised value of each byte, for each channel.
    table: Vec<[f32; 256]>,
    /// The normalised value of the byte 0, for each channel.
    black: Vec<f32>,
    scratch: Vec<f32>,
}

impl Filler<'_> {
    /// Fills `out`, `[c, h, w]`, with an image of `dataset`. Otherwise as [`Policy::fill`].
    pub(crate) fn fill(&mut self, dataset: &Dataset, index: u32, epoch: Option<u32>, seed: u64, out: &mut [f32]) {
        let Normalisation { scale, offset } = &self.policy.normalise;
        let plane = self.shape.height * self.shape.width;
        let planes = out.chunks_exact_mut(plane).zip(dataset.image(index as usize).chunks_exact(plane));
        for ((to, from), (scale, offset)) in planes.zip(scale.iter().zip(offset)) {
            to.iter_mut().zip(from).for_each(|(to, byte)| *to = f32::from(*byte) * scale + offset);
        }
        if let Some(epoch) = epoch {
            self.change(out, |place| Draws::new(seed, epoch, place, index));
        }
    }

    /// Makes the random changes to `image`, in order. Affine maps that follow each other are made as one.
    fn change(&mut self, image: &mut [f32], draws: impl Fn(u32) -> Draws) {
        let Self { policy, shape, table, black, scratch } = self;
        let scene = Scene { shape: *shape, edges: policy.fill, normalise: &policy.normalise, table, black };
        scratch.resize(image.len(), 0.0);
        let resample = |map: AffineMap, image: &mut [f32], scratch: &mut [f32]| {
            map.resample(image, scene.shape, scene.edges, scene.black, scratch);
        };
        let mut moved: Option<AffineMap> = None;
        for (operation, place) in policy.policy.iter().zip(0..) {
            if let Some(map) = operation.map(scene.shape, draws(place)) {
                moved = Some(moved.map_or(map, |before| before.then(&map)));
                continue;
            }
            if let Some(map) = moved.take() {
                resample(map, image, scratch);
            }
            operation.apply(image, &scene, draws(place), scratch);
        }
        if let Some(map) = moved {
            resample(map, image, scratch);
        }
    }
}
