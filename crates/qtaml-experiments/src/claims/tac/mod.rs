//! `qtaml.tac.<net>`: how much less protection TAC needs than the same number of bits everywhere.

pub mod bench;
pub mod budget;
pub mod scheme;

use anyhow::Result;
use qtaml::compensation::{Decoder, Score};
use qtaml::train::{Classifier, Cost, Granularity, Range};

use self::bench::Bench;
use self::budget::smallest;
use self::scheme::{Allocator, Scheme};
use super::networks::{Net, Trained, WithNet};
use crate::context::Context;
use crate::results::Outcome;

/// The share of clean accuracy that has to be kept.
pub const TARGET: f64 = 0.95;

struct Explore<'a> {
    context: &'a Context,
    net: Net,
}

impl WithNet for Explore<'_> {
    type Out = Outcome;
    fn run<M: Classifier>(self, trained: Trained<M>) -> Result<Outcome> {
        let t0 = std::time::Instant::now();
        let bench = Bench::new(self.context, self.net, trained)?;
        let p = self.net.flip_probability();
        let [float, clean] = bench.clean(&Scheme::uniform())?;
        println!("== {} float {float:.4} int8 {clean:.4}  p {p}", self.net.id());
        for (l, n) in bench.norms(Granularity::Tensor)?.iter().enumerate() {
            println!("   {l} {} {:.3e} ± {:.1e}", n.name, n.squared, n.standard_error);
        }
        let tac = Scheme::tac;
        let bayes = || Scheme { decoder: Decoder::Bayes, ..tac() };
        let gain = || Scheme { decoder: Decoder::BayesGain, range: Range::Best, ..tac() };
        let empirical = Allocator::Tac(Score::Empirical);
        let n = matches!(self.net, Net::ResNet | Net::MobileNet);
        let mut schemes = vec![
            Scheme::uniform(),
            Scheme { allocator: Allocator::Uniform, ..gain() },
            tac(),
            Scheme { granularity: Granularity::Channel, ..tac() },
            Scheme { granularity: Granularity::Channel, range: Range::Unit, ..tac() },
            gain(),
            Scheme { allocator: empirical, ..gain() },
            Scheme { granularity: Granularity::Channel, ..gain() },
            Scheme { granularity: Granularity::Channel, allocator: empirical, ..gain() },
            Scheme { granularity: Granularity::Group(16), allocator: empirical, ..gain() },
            Scheme {
                granularity: Granularity::Group(16),
                allocator: empirical,
                range: Range::Tensor,
                ..gain()
            },
            Scheme {
                granularity: Granularity::Group(4),
                allocator: empirical,
                range: Range::Tensor,
                ..gain()
            },
            Scheme {
                granularity: Granularity::Group(1),
                allocator: empirical,
                range: Range::Tensor,
                decoder: Decoder::Raw,
                ..gain()
            },
        ];
        if n {
            for s in schemes.clone().into_iter().skip(2) {
                if s.decoder == Decoder::BayesGain {
                    schemes.push(Scheme { norms_again: true, ..s });
                }
            }
            schemes.push(Scheme { norms_again: true, ..Scheme::uniform() });
            schemes.push(Scheme { norms_again: true, ..tac() });
        }
        for scheme in schemes {
            let t = std::time::Instant::now();
            let stored = bench.store(&scheme, p, Cost::Protected)?;
            let built = t.elapsed().as_secs_f64();
            let none = bench.accuracies(&stored, &stored.network.alike(0), 0)?;
            let none = none.iter().sum::<f64>() / none.len() as f64;
            let search = smallest(&bench, &stored, TARGET * clean)?;
            println!(
                "{:>70}  unprotected {:.3}  overhead {:6.2} %  {} (fresh {:.3}) build {built:.1} s all {:.1} s, {} steps",
                scheme.to_string(),
                none / clean,
                100.0 * search.cost as f64 / stored.weight_bits(),
                if search.missed { "MISSED" } else { "" },
                search.fresh / clean,
                t.elapsed().as_secs_f64(),
                stored.path().len()
            );
        }
        println!("{} took {:.0} s", self.net.id(), t0.elapsed().as_secs_f64());
        Ok(Outcome::default())
    }
}

/// One network.
pub fn lenet(context: &Context) -> Result<Outcome> {
    Net::LeNet.with(context, Explore { context, net: Net::LeNet })
}
/// One network.
pub fn vgg(context: &Context) -> Result<Outcome> {
    Net::Vgg.with(context, Explore { context, net: Net::Vgg })
}
/// One network.
pub fn resnet(context: &Context) -> Result<Outcome> {
    Net::ResNet.with(context, Explore { context, net: Net::ResNet })
}
/// One network.
pub fn mobilenet(context: &Context) -> Result<Outcome> {
    Net::MobileNet.with(context, Explore { context, net: Net::MobileNet })
}
/// One network.
pub fn transformer(context: &Context) -> Result<Outcome> {
    Net::Transformer.with(context, Explore { context, net: Net::Transformer })
}
