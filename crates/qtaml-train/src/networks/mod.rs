//! Five image classifiers, each the smallest honest member of its family.
//!
//! All are built from burn's own layers and use no dropout. The sizes for the digits and for
//! Fashion-MNIST are ours: small enough for thousands of trials on two cores, with layers that
//! differ in size by two orders of magnitude, as those of the originals do.

mod conv_norm;
mod lenet;
mod mobilenet;
mod resnet;
mod transformer;
mod vgg;

pub use lenet::{LeNet, LeNetConfig};
pub use mobilenet::{MobileNet, MobileNetConfig};
pub use resnet::{ResNet, ResNetConfig};
pub use transformer::{Transformer, TransformerConfig};
pub use vgg::{Vgg, VggConfig};

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::{Device, Tensor};
    use qtaml_fault::Seed;

    use super::*;
    use crate::{Classifier, Dataset, Evaluation, Parameter, TrainingConfig, parameters, train};

    /// The names and sizes of the weights that are stored.
    pub(super) fn sizes(model: &impl Classifier) -> Vec<(String, usize)> {
        let weights = parameters(model).into_iter().filter(Parameter::is_weight);
        weights.map(|p| (p.name, p.values.len())).collect()
    }

    /// The number of weights, after a look at the shape of what the network returns.
    pub(super) fn weights(model: &impl Classifier, side: usize) -> usize {
        let images = Tensor::zeros([3, 1, side, side], &Device::flex());
        assert_eq!(model.logits(images).dims(), [3, 10]);
        sizes(model).iter().map(|(_, count)| count).sum()
    }

    /// Accuracy on the digits after few epochs; chance is 0.1.
    fn learns(model: impl Classifier, above: f64) {
        let device = Device::flex();
        let digits = Dataset::digits().unwrap();
        let config = TrainingConfig { epochs: 3, ..TrainingConfig::new() };
        let model = train(model, &digits.train, &config, Seed(3), &device, |_| ()).unwrap();
        let accuracy = Evaluation::new(&digits.test, &device).unwrap().accuracy(&model);
        assert!(accuracy > above, "{accuracy}");
    }

    #[test]
    fn every_network_learns() {
        let device = Device::flex();
        learns(VggConfig::digits().init(&device), 0.5);
        learns(ResNetConfig::digits().init(&device), 0.5);
        learns(MobileNetConfig::digits().init(&device), 0.5);
        learns(TransformerConfig::digits().init(&device), 0.5);
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod measure {
    use super::*;
    use crate::*;
    use qtaml_fault::Seed;
    use qtaml_quant::BitWidth;
    use std::time::Instant;

    fn cpu() -> f64 {
        // all threads
        let s = std::fs::read_to_string("/proc/self/stat").unwrap();
        let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
        (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
    }

    fn one<M: Classifier>(name: &str, model: M, config: TrainingConfig) {
        let device = Device::flex();
        let digits = Dataset::digits().unwrap();
        let n: usize =
            parameters(&model).iter().filter(|p| p.is_weight()).map(|p| p.values.len()).sum();
        println!("{name} weights {n} {config:?}");
        let test = Evaluation::new(&digits.test, &device).unwrap();
        let seeds: Vec<u64> = std::env::var("SEEDS")
            .unwrap_or("42".into())
            .split(',')
            .map(|s| s.parse().unwrap())
            .collect();
        for seed in seeds {
            let c = cpu();
            let t = Instant::now();
            let m =
                train(model.clone(), &digits.train, &config, Seed(seed), &device, |_| ()).unwrap();
            let secs = t.elapsed().as_secs_f64();
            let cs = cpu() - c;
            let q = StoredNetwork::quantize(&m, BitWidth::INT8).unwrap();
            let f = test.accuracy(&m);
            let i = test.accuracy(q.golden());
            let t = Instant::now();
            let c = cpu();
            for _ in 0..30 {
                test.accuracy(q.golden());
            }
            let fc = (cpu() - c) / 30.0 * 1e3;
            println!(
                "{name} seed {seed} train {secs:.1}s float {f:.3} int8 {i:.3} forward500 {:.1} ms; cpu train {cs:.1} s, forward500 {fc:.1} ms",
                t.elapsed().as_secs_f64() * 1000.0 / 30.0
            );
        }
    }

    #[test]
    #[ignore]
    fn measure() {
        let d = Device::flex();
        let e = |k: &str, v: f64| std::env::var(k).map_or(v, |s| s.parse().unwrap());
        let base = |epochs: f64, lr: f64, warmup: f64, shift: f64| TrainingConfig {
            epochs: e("EPOCHS", epochs) as usize,
            learning_rate: e("LR", lr),
            warmup: e("WARMUP", warmup) as usize,
            shift: e("SHIFT", shift) as f32,
            batch_size: e("BATCH", 64.) as usize,
            ..TrainingConfig::new()
        };
        let which = std::env::var("NET").unwrap_or_default();
        if which == "lenet" {
            one("lenet", LeNetConfig::digits().init(&d), base(30., 2e-3, 0., 0.));
        }
        let list = |k: &str| {
            std::env::var(k)
                .ok()
                .map(|s| s.split(',').map(|x| x.parse::<usize>().unwrap()).collect::<Vec<_>>())
        };
        let mut tc = TransformerConfig::digits();
        if let Some(v) = list("TC") {
            tc.width = v[0];
            tc.hidden = v[1];
            tc.heads = v[2];
            tc.blocks = v[3];
        }
        let mut rc = ResNetConfig::digits();
        if let Some(v) = list("RC") {
            rc.stride = v[0];
            rc.blocks = v[1];
            rc.widths = Vec::leak(v[2..].to_vec());
        }
        let mut mc = MobileNetConfig::digits();
        if let Some(v) = list("MC") {
            mc.stem = (v[0], v[1]);
            mc.blocks = Vec::leak(v[2..].chunks(2).map(|c| (c[0], c[1])).collect());
        }
        let mut vc = VggConfig::digits();
        if let Some(v) = list("VC") {
            vc.widths = [v[0], v[1], v[2]];
            vc.hidden = v[3];
        }
        if which.contains("vgg") {
            one("vgg", vc.init(&d), base(30., 1e-3, 0., 0.));
        }
        if which.contains("resnet") {
            one("resnet", rc.init(&d), base(15., 2e-3, 0., 0.));
        }
        if which.contains("mobilenet") {
            one("mobilenet", mc.init(&d), base(20., 2e-3, 0., 0.));
        }
        if which.contains("transformer") {
            one("transformer", tc.init(&d), base(40., 2e-3, 3., 1.));
        }
    }

    #[test]
    #[ignore]
    fn micro() {
        use burn::nn::conv::Conv2dConfig;
        use burn::nn::*;
        use burn::tensor::{Distribution, Tensor, activation::*};
        let d = Device::flex();
        let time = |name: &str, f: &dyn Fn() -> Tensor<4>| {
            f();
            let c = cpu();
            for _ in 0..20 {
                let _ = f().into_data();
            }
            println!("{name}: {:.2} ms", (cpu() - c) / 20.0 * 1e3);
        };
        let x = |c: usize, s: usize| Tensor::<4>::random([500, c, s, s], Distribution::Default, &d);
        for (a, b, s, k, g, st) in [
            (1, 8, 8, 3, 1, 1),
            (1, 16, 8, 3, 1, 1),
            (1, 16, 8, 3, 1, 2),
            (8, 8, 8, 3, 1, 1),
            (16, 16, 8, 3, 1, 1),
            (16, 16, 4, 3, 1, 1),
            (16, 32, 4, 3, 1, 1),
            (32, 32, 4, 3, 1, 1),
            (64, 64, 2, 3, 1, 1),
            (16, 32, 8, 1, 1, 1),
            (32, 64, 4, 1, 1, 1),
            (64, 128, 2, 1, 1, 1),
            (16, 16, 8, 3, 16, 1),
            (32, 32, 4, 3, 32, 1),
            (64, 64, 2, 3, 64, 1),
        ] {
            let p = k / 2;
            let conv = Conv2dConfig::new([a, b], [k, k])
                .with_groups(g)
                .with_stride([st, st])
                .with_padding(PaddingConfig2d::Explicit(p, p, p, p))
                .init(&d);
            let input = x(a, s);
            time(&format!("conv {a}->{b} at {s} k{k} g{g} st{st}"), &|| {
                conv.forward(input.clone())
            });
        }
        let input = x(16, 8);
        time("copy 16 8", &|| input.clone());
        time("relu 16 8", &|| relu(input.clone()));
        time("add 16 8", &|| input.clone() + input.clone());
        let bn = BatchNormConfig::new(16).init(&d);
        time("bn 16 8", &|| bn.forward(input.clone()));
        let mp = pool::MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        time("maxpool 16 8", &|| mp.forward(input.clone()));
        let ln = LayerNormConfig::new(32).init(&d);
        let w = Tensor::<4>::random([500, 1, 16, 32], Distribution::Default, &d);
        time("ln 16x32", &|| ln.forward(w.clone()));
        time("gelu 16x32", &|| gelu(w.clone()));
        time("relu 16x32", &|| relu(w.clone()));
        let lin = LinearConfig::new(32, 128).init(&d);
        time("linear 32 128", &|| lin.forward(w.clone()));
        let lin = LinearConfig::new(32, 32).init(&d);
        time("linear 32 32", &|| lin.forward(w.clone()));
        let mha = attention::MultiHeadAttentionConfig::new(32, 4).with_dropout(0.0).init(&d);
        time("mha 32", &|| {
            mha.forward(attention::MhaInput::self_attn(w.clone().squeeze_dim::<3>(1)))
                .context
                .unsqueeze_dim(1)
        });
        let sc = Tensor::<4>::random([500, 4, 16, 16], Distribution::Default, &d);
        time("softmax 4x16x16", &|| softmax(sc.clone(), 3));
        let q = Tensor::<4>::random([500, 4, 16, 8], Distribution::Default, &d);
        time("qk 4x16x8", &|| q.clone().matmul(q.clone().swap_dims(2, 3)));
    }
}
