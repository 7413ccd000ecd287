//! The diagnosis of a run that diverged.

use std::collections::HashSet;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::weights::{buffers, to_host};

/// The first parameter whose weights or gradients are not finite, as `weights of conv1.weight`.
pub(super) fn first_not_finite<M: Module>(
    model: &M,
    gradients: &GradientsParams,
) -> Option<String> {
    let measured = buffers(model);
    let mut search = Search { path: Vec::new(), measured, gradients, found: None };
    model.visit(&mut search);
    search.found
}

struct Search<'a> {
    path: Vec<String>,
    /// Running statistics follow the weights.
    measured: HashSet<ParamId>,
    gradients: &'a GradientsParams,
    found: Option<String>,
}

impl ModuleVisitor for Search<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        if self.found.is_some() || self.measured.contains(&param.id) {
            return;
        }
        let is_finite = |tensor: Tensor<D>| to_host(tensor).into_iter().all(f32::is_finite);
        if !is_finite(param.base()) {
            self.found = Some(format!("weights of {name:?}"));
        } else if self.gradients.get::<D>(param.id).is_some_and(|g| !is_finite(g)) {
            self.found = Some(format!("gradients of {name:?}"));
        }
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn weights_and_gradients_are_told_apart() {
        let device = Device::flex().autodiff();
        let linear = LinearConfig::new(2, 1).init(&device);
        let after = |input: f32| {
            let input = Tensor::<2>::from_floats([[1.0, input]], &device);
            let gradients = linear.forward(input).sum().backward();
            first_not_finite(&linear, &GradientsParams::from_grads(gradients, &linear))
        };
        assert_eq!(after(1.0), None);
        assert_eq!(after(f32::NAN).unwrap(), "gradients of \"weight\"");
    }
}
