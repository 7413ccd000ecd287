//! What a run found, in a few sentences and one figure, and its claims by families.

use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use crate::claims::qtaml::tac::SOURCE;
use crate::numbers::estimate;
use crate::results::{Claim, Figure, Kind, Source, Verdict};
use crate::workloads::networks::Net;

/// A claim that is made of several networks.
pub struct Family<'a> {
    /// What their ids begin with, such as `qtaml.tac`.
    pub id: String,
    /// The claims, by network.
    pub claims: Vec<(Net, &'a Claim)>,
}

/// The families among these claims, in their order.
pub fn families(claims: &[Claim]) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for claim in claims {
        let Some((id, net)) = of_network(claim) else { continue };
        match families.iter_mut().find(|family| family.id == id) {
            Some(family) => family.claims.push((net, claim)),
            None => families.push(Family { id: id.into(), claims: vec![(net, claim)] }),
        }
    }
    families
}

/// The family and the network of a claim that is made of one.
pub fn of_network(claim: &Claim) -> Option<(&str, Net)> {
    let (id, net) = claim.id.rsplit_once('.')?;
    Some((id, Net::ALL.into_iter().find(|known| known.id() == net)?))
}

/// What was found, in a sentence each: as far as it was measured.
pub fn sentences(claims: &[Claim]) -> Vec<String> {
    let families = families(claims);
    let of = |id: &str| families.iter().find(|family| family.id == id);
    let claim = |id: &str| claims.iter().find(|claim| claim.id == id);
    let mut told = Vec::new();
    told.extend(verdicts(claims));
    told.extend(laws(claims));
    if let Some(family) = of("qtaml.tac") {
        told.push(format!(
            "TAC as its source lets it be derived needs {} times less protection than Uniform-MSP, on {}; the \
             source says {} to {} times less.",
            range(family),
            networks(family),
            SOURCE[0],
            SOURCE[1]
        ));
    }
    if let Some(family) = of("ours.tac") {
        told.push(format!(
            "With all that is ours it needs {} times less than Uniform-MSP with the same decoder, range and repairs.",
            range(family)
        ));
    }
    if let Some(family) = of("ours.codec") {
        told.push(format!(
            "With nothing protected ideally and every stored bit counted, codes that expect faults keep networks \
             with {} stored bits a weight, where one bit in ten or twenty flips.",
            range(family)
        ));
    }
    if let Some(table) = claim("t0.table1") {
        told.push(format!(
            "T0-QAT's noise lowers the drop of its own example to {} of the standard one's; its source says {}.",
            estimate(table.measured, table.interval),
            table.expected
        ));
    }
    told
}

/// How many laws hold against what was sampled, if any were compared.
pub fn laws(claims: &[Claim]) -> Option<String> {
    let laws = Kind::Consistency.of(claims);
    let hold = laws.iter().filter(|claim| claim.verdict == Verdict::Reproduced).count();
    let verb = if hold == 1 { "holds" } else { "hold" };
    (!laws.is_empty()).then(|| format!("Consistency: {hold} of {} laws {verb}.", laws.len()))
}

/// How many claims of the sources have which verdict.
fn verdicts(claims: &[Claim]) -> Option<String> {
    let of_sources: Vec<&Claim> =
        Kind::Claim.of(claims).into_iter().filter(|claim| claim.source != Source::Ours).collect();
    let counts = Verdict::ALL.into_iter().filter_map(|verdict| {
        let count = of_sources.iter().filter(|claim| claim.verdict == verdict).count();
        (count > 0).then(|| format!("{count} {}", verdict.label()))
    });
    let counts: Vec<String> = counts.collect();
    (!counts.is_empty())
        .then(|| format!("Of {} claims of the sources: {}.", of_sources.len(), counts.join(", ")))
}

/// From the least to the most of its values.
fn range(family: &Family<'_>) -> String {
    let values = || family.claims.iter().map(|(_, claim)| claim.measured);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if family.claims.len() == 1 {
        return short(least);
    }
    format!("{} to {}", short(least), short(most))
}

/// As many digits as a sentence bears.
fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

fn networks(family: &Family<'_>) -> String {
    let titles: Vec<&str> = family.claims.iter().map(|(net, _)| net.title()).collect();
    match titles.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// TAC against Uniform-MSP on every network, if that was measured.
pub fn figure(claims: &[Claim]) -> Option<Figure> {
    let families = families(claims);
    let of = |id: &str| families.iter().find(|family| family.id == id);
    let nets: Vec<&str> = of("qtaml.tac")?.claims.iter().map(|(net, _)| net.title()).collect();
    let series = [("qtaml.tac", "as derived"), ("ours.tac", "with all that is ours")];
    let series = series.into_iter().filter_map(|(id, name)| {
        let points = of(id)?.claims.iter().filter_map(|(net, claim)| {
            let place = nets.iter().position(|title| *title == net.title())?;
            let interval = Some(claim.interval);
            Some(Point { x: place as f64, y: claim.measured, interval })
        });
        Some(Series::new(name, Mark::Points, points.collect::<Vec<_>>()))
    });
    Some(Figure {
        id: "findings".into(),
        title: "How many times less protection TAC needs than Uniform-MSP".into(),
        caption: "As derived from its source, and with all that is ours for both sides; 95 % intervals. The lines \
                  are the ends of what the source says."
            .into(),
        picture: Chart {
            x: Axis::named("network", nets.clone()),
            y: Axis::log10("times less", ""),
            series: series.collect(),
            rules: SOURCE.map(|end| Rule::horizontal(end, &format!("{end}"))).to_vec(),
        }
        .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    fn claims() -> Vec<Claim> {
        let mut claims = vec![
            sample::claim("qtaml.tac.lenet", Verdict::Reproduced),
            sample::claim("qtaml.tac.vgg", Verdict::Undecided),
            sample::claim("t0.table1", Verdict::Contradicted),
            sample::claim("ours.tac.vgg", Verdict::New),
        ];
        claims[1].measured = 12.5;
        claims[1].interval = [7.0, 20.0];
        claims[3].source = Source::Ours;
        claims
    }

    #[test]
    fn families_are_claims_on_networks() {
        let claims = claims();
        let families = families(&claims);
        let ids: Vec<(&str, usize)> =
            families.iter().map(|family| (family.id.as_str(), family.claims.len())).collect();
        assert_eq!(ids, [("qtaml.tac", 2), ("ours.tac", 1)]);
        assert!(of_network(&claims[2]).is_none());
    }

    #[test]
    fn sentences_tell_what_was_measured_and_no_more() {
        let claims = claims();
        let told = sentences(&claims);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(
            told[0],
            "Of 3 claims of the sources: 1 reproduced, 1 contradicted, 1 undecided."
        );
        assert!(
            told[1].contains("4.18 to 12.5 times less") && told[1].contains("LeNet and VGG"),
            "{told:?}"
        );
        assert!(sentences(&[]).is_empty());
        let law = Claim { kind: Kind::Consistency, ..claims[0].clone() };
        let counted: Vec<Claim> = claims.iter().cloned().chain([law]).collect();
        let counted = sentences(&counted);
        assert_eq!([&counted[0], &counted[1]], [&told[0], "Consistency: 1 of 1 laws holds."]);
        let svg = figure(&claims).map(|figure| figure.picture.to_svg("t"));
        assert!(svg.is_some_and(|svg| svg.is_ok_and(|svg| svg.contains("as derived"))));
        assert!(figure(&claims[2..]).is_none());
    }
}
