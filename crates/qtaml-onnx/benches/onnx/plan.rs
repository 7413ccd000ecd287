//! A whole plan of a model: what it takes, and what it finds.

use qtaml_compensation::Accounting;
use qtaml_deploy::planner::{Goal, Judging, Planner, contenders};
use qtaml_deploy::{Evaluation, Metric, Runner, Values};
use qtaml_onnx::OnnxRunner;
use qtaml_physics::FlipProbability;

use crate::clock::Clock;
use crate::workload::Workload;
use crate::{BATCH, SAMPLES, SEED};

/// The flip probability of the plan, where the rows of trials have two.
pub(super) const FLIPS: f64 = 0.01;
/// Parts of the inputs that choose, for a glance.
const PARTS: usize = 8;

/// The processor seconds of a plan on inputs that are cut as `qtaml plan` cuts them. Where the time goes is
/// told on the way.
pub(super) fn seconds(workload: &Workload, count: Accounting, p: f64) -> f64 {
    let samples = SAMPLES.min(workload.samples());
    let part = |holds: fn(usize) -> bool| -> Vec<usize> {
        (0..samples).filter(|&sample| holds(sample)).collect()
    };
    let [calibration, selection, test] = [
        part(|sample| sample % 4 == 0),
        part(|sample| sample % 2 == 0),
        part(|sample| sample % 2 == 1),
    ]
    .map(|samples| workload.runner(&samples, BATCH));
    let parts: Vec<OnnxRunner> = (0..PARTS)
        .map(|number| {
            let holds = |sample: &usize| sample.is_multiple_of(2) && sample / 2 % PARTS == number;
            workload.runner(&(0..samples).filter(holds).collect::<Vec<_>>(), BATCH)
        })
        .collect();
    let clock = Clock::now();
    let evaluations = [&selection, &test].map(evaluation);
    let of_parts: Vec<Evaluation> = parts.iter().map(evaluation).collect();
    let judging = |runner, evaluation| Judging { runner, evaluation };
    let goal = Goal::new(FlipProbability::symmetric(p).expect("a probability")).counting(count);
    let tell = |what: &str| eprintln!("{:8.2} s  {what}", clock.seconds());
    let planner = Planner::new(
        goal,
        &calibration,
        judging(&selection, &evaluations[0]),
        judging(&test, &evaluations[1]),
    );
    let parts = parts.iter().zip(&of_parts).map(|(runner, evaluation)| judging(runner, evaluation));
    let planner = planner.with_patterns(20, SEED).glancing_at(parts.collect()).telling(&tell);
    let (schemes, baselines) = contenders(count);
    match planner.plan(&schemes, &baselines) {
        Ok(planned) => {
            for contender in &planned.contenders {
                let bits = |bits: Option<u64>| {
                    bits.map_or(f64::NAN, |bits| bits as f64 / planned.weights as f64)
                };
                let (found, beyond) = (bits(contender.cost()), bits(contender.not_below));
                let predicted = bits(contender.predicted);
                eprintln!("{found:.3} {beyond:.3} {predicted:.3} {}", contender.name);
            }
            eprintln!("confirmed {:?}", planned.confirmed);
        }
        Err(error) => eprintln!("{error}"),
    }
    clock.seconds()
}

fn evaluation(runner: &OnnxRunner) -> Evaluation {
    let golden = runner.outputs(Values::new()).expect("a model that ran before");
    Evaluation::new(golden, Metric::Agreement).expect("outputs with classes")
}
