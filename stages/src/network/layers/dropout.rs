//! Dropout (Srivastava et al. 2014).

use serde::{Deserialize, Serialize};

use super::{
    definition::{Definition, Misfit},
    label::LabelPart,
    notation::{Form, Gives, Notated, Notation, Reads, Setting, Values},
    onnx::Operator,
    operation::{Backward, Map, Operation, Plan, Run, Site},
};
use crate::{
    network::{
        kernels::{buffer::Buffer, dropout::Mask},
        pass::{Mode, Pass},
    },
    params::Domain,
};

/// Sets each element to 0 with probability `p` during training, and divides the others by 1 - p (Srivastava et al. 2014). Does
/// nothing during inference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// The probability of dropping an element. At least 0, less than 1.
    pub p: f32,
}

impl Definition for Dropout {
    fn prefix(&self) -> &'static str {
        "dropout"
    }

    fn numbers(&self) -> Vec<f32> {
        vec![self.p]
    }

    fn misfit(&self, _inputs: &[&[usize]]) -> Option<Misfit> {
        None
    }

    fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        inputs[0].to_vec()
    }

    fn flops(&self, _inputs: &[&[usize]]) -> u64 {
        1
    }

    fn on_cpu(&self, site: &Site<'_>) -> Plan {
        if self.p == 0.0 || site.pass != Pass::Training {
            return Plan::NOTHING;
        }
        Plan::of(Drop { p: self.p, layer: site.index }, site)
    }

    /// Uses the masks of the CPU kernel, so that both backends drop the same elements.
    #[cfg(any(feature = "gpu", test))]
    fn on_burn(
        &self,
        mut inputs: Vec<burn::tensor::Tensor<4>>,
        site: &mut super::burn_site::Site<'_>,
    ) -> burn::tensor::Tensor<4> {
        let x = inputs.remove(0);
        let Mode::Training { seed, step } = site.mode else { return x };
        if self.p == 0.0 {
            return x;
        }
        let shape = x.dims();
        let mask = Mask::new(seed, step, site.index, self.p);
        #[cfg(feature = "gpu")]
        if site.has_our_kernels {
            return crate::network::on_burn::kernels::dropout::drop(&mask, x);
        }
        x * crate::network::on_burn::traffic::upload(factors(&mask, shape), shape, site.device)
    }

    /// Dropout does nothing during inference.
    fn onnx(&self, _inputs: &[&[usize]]) -> Operator {
        Operator::new("Identity")
    }

    fn label(&self) -> Vec<LabelPart> {
        vec![LabelPart::Number("p", self.p.into())]
    }
}

impl Notated for Dropout {
    const NOTATION: Notation = Notation {
        name: "Dropout",
        form: Form::Value,
        settings: &[Setting::new("p", Domain::Share, "Probability of dropping an element. 0 leaves the layer out.")],
        reads: Reads::Anything,
        gives: Gives::Same,
    };

    fn of(values: &Values) -> Option<Self> {
        let p = values.number("p");
        (p != 0.0).then_some(Self { p: p as f32 })
    }
}

struct Drop {
    p: f32,
    /// The index of the layer, because each layer has its own masks.
    layer: u32,
}

impl Drop {
    fn mask(&self, run: Run) -> Mask {
        let Mode::Training { seed, step } = run.mode else { unreachable!("only training has dropout operations") };
        Mask::new(seed, step, self.layer, self.p)
    }
}

impl Operation for Drop {
    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        self.mask(run).apply(run.isa, inputs[0].values, y);
    }

    fn backward(&mut self, back: &mut Backward<'_>, dy: Buffer) {
        let (mask, isa) = (self.mask(back.run), back.run.isa);
        let (mut dx, is_new) = back.take();
        if is_new {
            mask.apply(isa, &dy, &mut dx);
        } else {
            mask.add(isa, &dy, &mut dx);
        }
        back.put(dx);
        back.buffers.give(dy);
    }
}

/// Returns the factors of elements of `shape` `[n, c, h, w]`: 0 where `mask` drops the element, otherwise 1 / (1 - p).
#[cfg(any(feature = "gpu", test))]
pub(crate) fn factors(mask: &Mask, [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    use crate::network::kernels::{
        Isa,
        map::{self, Shape},
    };

    let image = Shape { c, h, w };
    let ones = vec![1.0; n * image.len()];
    let mut kept = vec![0.0; ones.len()];
    mask.apply(Isa::detect(), &ones, &mut kept);
    let mut factors = vec![0.0; n * image.values()];
    map::to_images(image, &kept, &mut factors);
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_drops_a_fraction_p_and_keeps_the_mean() {
        let shape = [7, 17, 29, 29];
        let mask = factors(&Mask::new(1, 2, 3, 0.25), shape);
        let dropped = mask.iter().filter(|&&x| x == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.25).abs() < 0.005, "{dropped}");
        let mean = mask.iter().map(|&x| f64::from(x)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 0.007, "{mean}");
        assert_ne!(mask, factors(&Mask::new(1, 3, 3, 0.25), shape));
    }
}
