//! Finds problems that do not depend on the size of images: unknown names, layers that cannot read their inputs, layers that nothing
//! reads.

use std::collections::{BTreeMap, BTreeSet};

use super::step::Step;
use crate::{
    network::layers::notation::{Gives, Reads},
    problem::{Path, Problem},
    words::one_of,
};

/// Returns the problems. Paths start at the list of layers.
pub(super) fn problems(steps: &[Step]) -> Vec<Problem> {
    let mut outline = Outline {
        outputs: vec![Output { step: None, is_image: Some(true) }],
        at: 0,
        names: [("input", 0)].into(),
        read: BTreeSet::new(),
        problems: Vec::new(),
    };
    for (i, step) in steps.iter().enumerate() {
        outline.take(i, step);
    }
    outline.end(steps);
    outline.problems
}

/// The output of a layer, or the image.
struct Output {
    /// The index of its step, if it has one.
    step: Option<usize>,
    /// Whether it is [channels, height, width] rather than [units], if that is known.
    is_image: Option<bool>,
}

/// The layers so far. Other fields refer to an output by its index in `outputs`.
struct Outline<'a> {
    outputs: Vec<Output>,
    /// The output that the next layer will read.
    at: usize,
    /// The outputs that were named with `As`, by that name.
    names: BTreeMap<&'a str, usize>,
    read: BTreeSet<usize>,
    problems: Vec<Problem>,
}

impl<'a> Outline<'a> {
    fn take(&mut self, i: usize, step: &'a Step) {
        let mut inputs: Vec<_> =
            step.names().into_iter().map(|(path, name)| self.named(&Path::here().index(i).join(&path), name)).collect();
        match step {
            Step::Initialise(_) => {}
            Step::As(name) => {
                if self.names.insert(name, self.at).is_some() {
                    let found = format!("two layers are named `{name}`");
                    self.complain(&Path::here().index(i).name("As"), found, "different names");
                }
            }
            Step::From(_) => self.at = inputs[0],
            _ => {
                inputs.push(self.at);
                let is_image = self.rank(i, step, &inputs);
                self.read.extend(inputs);
                self.at = self.add(Some(i), is_image);
            }
        }
    }

    /// Returns the output called `name`. If there is none, reports that and returns an output of unknown rank.
    fn named(&mut self, at: &Path, name: &str) -> usize {
        if let Some(&output) = self.names.get(name) {
            return output;
        }
        let known = one_of(self.names.keys().copied());
        self.complain(at, format!("no layer is named `{name}`"), format!("the name of an earlier layer: {known}"));
        // Any layer may have been meant, so none is reported as unread.
        self.read.extend(0..self.outputs.len());
        self.add(None, None)
    }

    /// Returns whether the output of a layer is an image, if that is known. Reports inputs that the layer cannot read.
    fn rank(&mut self, i: usize, step: &Step, inputs: &[usize]) -> Option<bool> {
        let ranks: BTreeSet<_> = inputs.iter().filter_map(|input| self.outputs[*input].is_image).collect();
        let (reads, gives) = step.reads_and_gives()?;
        let (name, at) = (step.name(), Path::here().index(i));
        match reads {
            _ if step.is_join() && inputs.len() == 1 => {
                self.complain(&at, format!("`{name}` has nothing to join"), "names of earlier layers");
            }
            Reads::Equal if ranks.len() > 1 => {
                self.complain(&at, format!("`{name}` reads an image and units"), "equal shapes");
                return None;
            }
            Reads::Units if ranks.contains(&true) => {
                let expected = "units: a `Flatten` or `GlobalAvgPool` before it";
                self.complain(&at, format!("`{name}` reads an image"), expected);
            }
            Reads::Images if ranks.contains(&false) => {
                self.complain(&at, format!("`{name}` reads units"), "an image: put it before the `Flatten`");
            }
            _ => {}
        }
        match gives {
            Gives::Same => self.outputs[self.at].is_image,
            Gives::Units => Some(false),
            Gives::Images => Some(true),
        }
    }

    fn end(&mut self, steps: &[Step]) {
        if self.outputs[self.at].is_image == Some(true) {
            let last = steps.len().checked_sub(1).map(|last| Path::here().index(last)).unwrap_or_default();
            let expected = "units: a `Flatten` or `GlobalAvgPool` at the end";
            self.complain(&last, "the network ends in an image", expected);
        }
        let unread = (0..self.outputs.len()).filter(|output| *output != self.at && !self.read.contains(output));
        let unread: Vec<_> = unread.filter_map(|output| self.outputs[output].step).collect();
        for i in unread {
            let expected = "an `As` after it, and that name in an `Add`, `Concat` or `From`";
            let at = Path::here().index(i);
            self.complain(&at, format!("nothing reads this `{}`", steps[i].name()), expected);
        }
    }

    fn add(&mut self, step: Option<usize>, is_image: Option<bool>) -> usize {
        self.outputs.push(Output { step, is_image });
        self.outputs.len() - 1
    }

    fn complain(&mut self, at: &Path, found: impl Into<String>, expected: impl Into<String>) {
        self.problems.push(Problem::new(at, found).expected(expected));
    }
}
