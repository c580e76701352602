//! Named arrays in one buffer of a device.

use std::{collections::BTreeMap, ops::Range};

use burn::tensor::{Device, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::network::on_burn::{
    kernels::{self, alignment, buffer, part},
    traffic::upload,
};

/// Where each array is in a buffer.
#[derive(Debug, Clone)]
pub(super) struct Places {
    of: BTreeMap<String, Range<usize>>,
    /// The end of the last one.
    end: usize,
}

impl Places {
    /// Returns places for arrays of these names and lengths, in this order. Each starts at a multiple of `alignment`.
    fn new<'a>(arrays: impl Iterator<Item = (&'a str, usize)>, alignment: usize) -> Self {
        let mut of = BTreeMap::new();
        let mut end: usize = 0;
        for (name, len) in arrays {
            let start = end.next_multiple_of(alignment);
            end = start + len;
            of.insert(name.to_owned(), start..end);
        }
        Self { of, end }
    }

    fn of(&self, name: &str) -> Range<usize> {
        self.of[name].clone()
    }
}

/// Arrays on a device.
pub(super) struct Arena {
    places: Places,
    /// All of them. What is between two of them means nothing.
    pub(super) numbers: CubeTensor,
}

impl Arena {
    /// Copies arrays to `device`, in this order.
    pub(super) fn new<'a>(arrays: impl Iterator<Item = (&'a str, &'a [f32])> + Clone, device: &Device) -> Self {
        let probe = buffer(Tensor::<1>::empty([1], device));
        let lengths = arrays.clone().map(|(name, values)| (name, values.len()));
        Self::at(Places::new(lengths, alignment(&probe)), arrays, device)
    }

    /// Copies some arrays to `device`, to where they are in `other`. Returns `None` if there are none.
    pub(super) fn like(other: &Self, arrays: &BTreeMap<String, Vec<f32>>, device: &Device) -> Option<Self> {
        let of: BTreeMap<_, _> = arrays.keys().map(|name| (name.clone(), other.places.of(name))).collect();
        let end = of.values().map(|place| place.end).max()?;
        Some(Self::at(
            Places { of, end },
            arrays.iter().map(|(name, values)| (name.as_str(), values.as_slice())),
            device,
        ))
    }

    fn at<'a>(places: Places, arrays: impl Iterator<Item = (&'a str, &'a [f32])>, device: &Device) -> Self {
        let mut numbers = vec![0.0; places.end];
        arrays.for_each(|(name, values)| numbers[places.of(name)].copy_from_slice(values));
        Self { numbers: buffer(upload(numbers, [places.end], device)), places }
    }

    /// Returns where the array is.
    pub(super) fn place(&self, name: &str) -> Range<usize> {
        self.places.of(name)
    }

    /// Returns the array, flat. It changes when the arena does.
    pub(super) fn array(&self, name: &str) -> Tensor<1> {
        part(&self.numbers, self.place(name))
    }

    /// Returns all numbers, to be read.
    pub(super) fn whole(&self) -> Tensor<1> {
        kernels::tensor(self.numbers.clone())
    }

    /// Copies arrays from `read`, all numbers of the arena, into `to`.
    pub(super) fn fill<'a>(&self, read: &[f32], to: impl Iterator<Item = (&'a String, &'a mut Vec<f32>)>) {
        to.for_each(|(name, values)| values.copy_from_slice(&read[self.place(name)]));
    }
}
