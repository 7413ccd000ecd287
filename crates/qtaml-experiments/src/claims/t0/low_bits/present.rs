//! Method, figure and table of lower bits.

use anyhow::Result;
use qtaml_chart::{Axis, Chart, Mark, Series};

use super::measure::{Measured, NET, setting};
use super::{METHODS, RANDOM};
use crate::results::{Figure, Table, Value};
use crate::workloads::qat_nets::{matched_in_words, matched_t0, two_digits};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let words = matched_t0().map_or_else(|_| String::new(), matched_in_words);
    vec![
        "The source says of its noise, in words: models learn to ignore precision variations in lower bits. Here \
         the lowest bits of every INT8 word are random, one to four of them, and what is lost against the same \
         words as they are is compared with what a plain network loses. Judged is noise that is matched to the \
         faults of a memory. Noise as in the published listing leaves networks at chance, where nothing is left to \
         be lost: judged by it the claim would be ticked for nothing. It was judged so first, and the rule was \
         changed after that number was seen."
            .into(),
        format!("Matched: {words}. {}{}", measured.networks.protocol(NET), measured.look),
    ]
}

fn counts() -> impl Iterator<Item = u32> {
    std::iter::once(0).chain(RANDOM)
}

pub(super) fn figure(measured: &Measured) -> Result<Figure> {
    let of_method = |name: &&str| -> Result<Series> {
        let points = counts().map(|count| {
            Ok(measured.networks.percent(name, setting(count))?.percent_at(f64::from(count)))
        });
        Ok(Series::new(name, Mark::LinePoints, points.collect::<Result<Vec<_>>>()?))
    };
    Ok(Figure {
        id: "t0.low_bits.accuracy".into(),
        title: "Accuracy where the lowest bits are random".into(),
        caption: "Mean over seeds with 95 % intervals; INT8 words.".into(),
        picture: Chart {
            x: Axis::linear("random bits", ""),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: METHODS.iter().map(of_method).collect::<Result<_>>()?,
            rules: vec![],
        }
        .into(),
    })
}

pub(super) fn table(measured: &Measured) -> Result<Table> {
    let columns = std::iter::once("method".to_owned());
    let columns = columns.chain(counts().map(|count| format!("{count} random bits [%]")));
    let row = |name: &&str| -> Result<Vec<Value>> {
        let mut row = vec![Value::from(*name)];
        for count in counts() {
            row.push(two_digits(measured.networks.percent(name, setting(count))?.value));
        }
        Ok(row)
    };
    Ok(Table {
        id: "t0.low_bits.methods".into(),
        title: "Accuracy by method and number of random bits".into(),
        columns: columns.collect(),
        rows: METHODS.iter().map(row).collect::<Result<_>>()?,
        in_report: true,
    })
}
