//! Method, figure and tables of the codecs.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::CODES;
use super::measure::Measured;
use super::needed::{Layer, Needed};
use super::sweep::{PATTERNS, SWEEP, target};
use crate::results::{Figure, Table, Value};
use crate::stats::percent;
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::TRAINING_FLIPS;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let codec = measured.codec();
    let mut method = vec![
        "Every stored bit is counted. Those of the weights, check bits and copies may all flip; \
         scales, steps and fitted numbers lie beside them and are read without faults. Biases and \
         norm parameters are not stored as codes. Layers get different numbers of bits by the \
         solver of TAC. No labels and no retraining."
            .into(),
        format!(
            "“TAC, raw” spends bits on quantized words of 2 to 8 bits and on real codes for their top \
             bits: {}. The next row reads them by Bayes tables, at the min-MSE scale. “Codebook” are \
             channel-optimised codebooks (COSQ) of 1 to 8 bits, one weight at a time. “Mixed” takes \
             for each layer whatever its budget does most with: quantized words, a codebook, or a \
             block code, in which a whole layer is entropy coded and then error corrected, in 1 to 8 \
             bits a weight.",
            CODES.join(", ")
        ),
        format!(
            "A layer's score is its Jacobian norm, corrected by what the layer does when it alone is \
             read with faults (measured; codebooks of 8 bits where codebooks may be taken); TAC, raw has \
             the linear score. A budget is found by bisection and confirmed under as many fresh \
             fault patterns: {} patterns, and {} for the claim and for the mixed codes after training with \
             bit errors. A stored bit meets the same faults in every scheme. What the claim needs lies \
             between two of the budgets that were tried, on the line through them; its interval is a bootstrap over \
             patterns. Other schemes have the budget that was tried.",
            measured.few, codec.patterns
        ),
        training(measured),
    ];
    method.push(recalibration(measured.net).into());
    method.push(
        "Where bits leak one way, the flip probability is that of the one kind of bits and 0 for the other, so that \
         about half as many flip. Storage is made for such a memory. Quantized words then have no real codes but \
         copies, as what the others leave behind is known for memories that flip both ways alike."
            .into(),
    );
    method
}

/// What is measured again, and what it keeps and costs.
const fn recalibration(net: Net) -> &'static str {
    if net.has_batch_norm() {
        "Batch norm is recalibrated on the calibration images under the faults, without labels, in all schemes but \
         the raw one: a forward pass over these images after every read. One row brings the logits back besides, in \
         another pass; two numbers of 32 bits a class are counted for it. The images are not counted (ours.tac says \
         what they take)."
    } else {
        "The claim recalibrates nothing. One row has logit recalibration: the calibration images and a forward pass over \
         them after every read, without labels, and two numbers of 32 bits a class, which are counted. The images are \
         not counted (ours.tac says what they take)."
    }
}

/// What it brings to train with bit errors.
fn training(measured: &Measured) -> String {
    let Measured { net, clean, needed, hardened, .. } = measured;
    let compared: Vec<String> = hardened
        .needed
        .iter()
        .filter_map(|after| {
            let (scheme, p) = (&after.scheme, after.p);
            let same = |n: &&Needed| n.scheme == *scheme && n.p == p && n.leakage == after.leakage;
            let before = needed.iter().find(same)?;
            Some(format!("{} (“{scheme}”; plain: {})", in_words(after), in_words(before)))
        })
        .collect();
    format!(
        "Trained again from the same start in as many steps, with {:.0} % of the bits of its INT8 \
         words flipped anew in every step and gradients passed straight through, the network has \
         {:.1} % without faults, the plain one {:.1} %. It is stored in the same ways at p = {} and \
         judged by the same accuracy, 95 % of the plain one's, under the same patterns. Stored bits \
         per weight: {}. The claim and all else here are about the plain network.",
        100.0 * TRAINING_FLIPS,
        100.0 * hardened.clean,
        100.0 * clean,
        net.flip_probability(),
        compared.join("; "),
    )
}

/// What is needed, in words.
fn in_words(needed: &Needed) -> String {
    let missed = if needed.missed { "not reached with " } else { "" };
    format!("{missed}{:.2}", needed.bits)
}

pub(super) fn sweep_figure(measured: &Measured) -> Figure {
    let series = measured.sweep.curves.iter().map(|(name, levels)| {
        Series::new(name, Mark::LinePoints, levels.iter().map(|level| level.point()))
    });
    let repaired = if measured.net.has_batch_norm() {
        " All but the raw weights have their batch norm recalibrated under the faults."
    } else {
        ""
    };
    Figure {
        id: format!("ours.codec.{}.sweep", measured.net.id()),
        title: "Accuracy at eight stored bits per weight".into(),
        caption: format!(
            "Mean over {PATTERNS} fault patterns, with 95 % intervals. \
             Codes and allocations are made for each flip probability. Quantized weights have 8 bits, \
             and their scales beside; one bit in eight that is kept ideally is protection which \
             nobody pays for. The other three have 8 bits a weight for everything.{repaired}"
        ),
        picture: Chart {
            x: Axis::log10("flip probability per stored bit", ""),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect(),
            rules: vec![Rule::horizontal(target(measured.clean), "95 % of clean")],
        }
        .into(),
    }
}

/// All tables.
pub(super) fn tables(measured: &Measured) -> Vec<Table> {
    vec![needed_table(measured), falls_table(measured), layer_table(measured)]
}

fn needed_table(measured: &Measured) -> Table {
    let columns = [
        "flip probability",
        "bits leak",
        "training",
        "scheme",
        "stored bits per weight",
        "accuracy, unseen patterns [% of clean]",
        "devices above 95 % [%]",
        "fault patterns",
    ];
    let row = |(training, needed): (&str, &Needed)| -> Vec<Value> {
        vec![
            needed.p.into(),
            needed.leakage.label().into(),
            training.into(),
            needed.scheme.to_string().into(),
            if needed.missed { in_words(needed).into() } else { needed.bits.into() },
            (100.0 * needed.fresh / measured.clean).into(),
            percent(needed.above),
            needed.patterns.into(),
        ]
    };
    let plain = measured.needed.iter().map(|needed| ("plain", needed));
    let hardened = measured.hardened.needed.iter().map(|needed| ("bit errors", needed));
    Table {
        id: format!("ours.codec.{}.needed", measured.net.id()),
        title: "Smallest storage that keeps 95 % of clean accuracy, everything counted".into(),
        columns: columns.map(String::from).to_vec(),
        rows: plain.chain(hardened).map(row).collect(),
        in_report: true,
    }
}

fn falls_table(measured: &Measured) -> Table {
    let columns = ["eight stored bits per weight", "keeps 95 % of clean up to p ="];
    let row = |(name, falls): (&'static str, Option<f64>)| {
        let beyond = || format!("beyond {}", SWEEP[SWEEP.len() - 1]).into();
        vec![name.into(), falls.map_or_else(beyond, Value::from)]
    };
    Table {
        id: format!("ours.codec.{}.falls", measured.net.id()),
        title: "How bad the memory may be".into(),
        columns: columns.map(String::from).to_vec(),
        rows: measured.sweep.falls(measured.clean).into_iter().map(row).collect(),
        in_report: true,
    }
}

/// Where the bits of the codec go.
fn layer_table(measured: &Measured) -> Table {
    let columns = ["layer", "weights", "stored as", "stored bits per weight"];
    let row = |layer: &Layer| -> Vec<Value> {
        let Layer { name, weights, kind, bits } = layer;
        vec![name.as_str().into(), (*weights).into(), (*kind).into(), (*bits).into()]
    };
    let codec = measured.codec();
    Table {
        id: format!("ours.codec.{}.layers", measured.net.id()),
        title: format!("Where “{}” spends its bits at p = {}", codec.scheme, codec.p),
        columns: columns.map(String::from).to_vec(),
        rows: measured.layers.iter().map(row).collect(),
        in_report: true,
    }
}
