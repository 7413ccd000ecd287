//! The report: one HTML page that needs nothing but itself.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::findings::{self, Family};
use crate::numbers::{estimate, number};
use crate::progress::span;
use crate::results::{Claim, Figure, Kind, Results, Section, Table, Value, Verdict};
use crate::stopwatch;
use crate::terminal::unit;

/// The page for a run. `command` is the line that repeats it, `files` the names written beside it.
///
/// # Errors
///
/// A chart has nothing to show.
pub fn page(
    results: &Results,
    sections: &[Section],
    command: &str,
    files: &[&str],
) -> Result<String> {
    let found = findings(&results.claims)?;
    let sections_html = sections.iter().map(section).collect::<Result<Vec<_>>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "qtaml: reproduction report" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (header(results))
                main {
                    (found)
                    @for family in findings::families(&results.claims) { (family_table(&family)) }
                    (claims("claims", "Claims", &Kind::Claim.of(&results.claims), sections))
                    @if sections.len() > 1 { (contents(sections)) }
                    @for section in &sections_html { (section) }
                    (appendix(&Kind::Consistency.of(&results.claims), sections))
                    (times(sections))
                    (reproduce(results, command, files))
                }
            }
        }
    };
    Ok(page.into_string())
}

fn header(results: &Results) -> Markup {
    let seconds = span(results.seconds);
    let seed = results.seed.to_string();
    let facts = [
        ("profile", results.profile.as_str()),
        ("device", &results.device),
        ("seed", &seed),
        ("version", &results.version),
        ("commit", &results.commit),
        ("run time", &seconds),
    ];
    html! {
        header {
            h1 { "qtaml reproduction report" }
            p.lead {
                "What bit flips from quantum tunneling do to quantized neural networks, and what "
                "repairs them: every claim, computed again."
            }
            @if results.taken > 0 {
                p.lead { (results.taken) " trainings are not of this run: they were published by earlier ones." }
            }
            @if results.profile == "smoke" {
                p.lead { b { "Smoke run: it shows that everything runs; the numbers are no results." } }
            }
            ul.tally {
                @for verdict in Verdict::ALL {
                    @let claims = Kind::Claim.of(&results.claims);
                    @let count = claims.iter().filter(|c| c.verdict == verdict).count();
                    @if count > 0 { li { b { (count) } " " (badge(verdict)) } }
                }
            }
            @if let Some(laws) = findings::laws(&results.claims) {
                p { a href="#consistency" { (laws) } }
            }
            dl.facts {
                @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn badge(verdict: Verdict) -> Markup {
    let class = verdict.label().replace(' ', "-");
    html! {
        span class={ "verdict " (class) } {
            span aria-hidden="true" { (verdict.symbol()) } " " (verdict.label())
        }
    }
}

/// What was found, before anything else.
fn findings(claims: &[Claim]) -> Result<Markup> {
    let sentences = findings::sentences(claims);
    let picture = findings::figure(claims).as_ref().map(figure).transpose()?;
    Ok(html! {
        @if !sentences.is_empty() {
            section id="found" {
                h2 { "What was found" }
                ul { @for sentence in &sentences { li { (sentence) } } }
                @if let Some(picture) = &picture { div.figures { (picture) } }
            }
        }
    })
}

/// A claim that is made of several networks: these are its columns.
fn family_table(family: &Family<'_>) -> Markup {
    let name = format!("family-{}", family.id);
    html! {
        section {
            h3 id=(name) { (id(&family.id)) }
            div.scroll tabindex="0" role="region" aria-labelledby=(name) {
                table {
                    thead {
                        tr {
                            th scope="col" { "" }
                            @for (net, _) in &family.claims { th scope="col" { (net.title()) } }
                        }
                    }
                    tbody {
                        tr {
                            th scope="row" { "ours" }
                            @for (_, claim) in &family.claims { td { (ours(claim)) } }
                        }
                        tr {
                            th scope="row" { "source" }
                            @for (_, claim) in &family.claims { td { (claim.expected) } }
                        }
                        tr {
                            th scope="row" { "verdict" }
                            @for (_, claim) in &family.claims { td { (badge(claim.verdict)) } }
                        }
                    }
                }
            }
        }
    }
}

/// All claims at a glance; on a narrow screen each row becomes a card that uses the labels.
fn claims(name: &str, title: &str, claims: &[&Claim], sections: &[Section]) -> Markup {
    let home = |claim: &Claim| {
        let told = |section: &&Section| section.outcome.claims.iter().any(|c| c.id == claim.id);
        sections.iter().find(told).map(|_| format!("#claim-{}", claim.id))
    };
    html! {
        section id=(name) {
            h2 { (title) }
            table.claims {
                thead {
                    tr {
                        th scope="col" { "claim" }
                        th scope="col" { "statement" }
                        th scope="col" { "source’s value" }
                        th scope="col" { "ours [95 % interval]" }
                        th scope="col" { "verdict" }
                    }
                }
                tbody {
                    @for claim in claims {
                        tr {
                            th scope="row" {
                                @if let Some(home) = home(claim) { a href=(home) { (id(&claim.id)) } }
                                @else { (id(&claim.id)) }
                                small { (claim.source.label()) }
                            }
                            td { (claim.statement) }
                            td data-label="source’s value" { (claim.expected) }
                            td data-label="ours [95 % interval]" { (ours(claim)) }
                            td { (badge(claim.verdict)) }
                        }
                    }
                }
            }
        }
    }
}

/// Claims on this project itself, after all others.
fn appendix(laws: &[&Claim], sections: &[Section]) -> Markup {
    html! {
        @if !laws.is_empty() { (claims("consistency", Kind::APPENDIX, laws, sections)) }
    }
}

/// An id that may break after its dots.
fn id(id: &str) -> Markup {
    html! {
        code { @for part in id.split_inclusive('.') { (part) wbr; } }
    }
}

fn ours(claim: &Claim) -> Markup {
    let text = estimate(claim.measured, claim.interval);
    let (value, interval) = text.split_once(' ').unwrap_or((&text, ""));
    html! {
        b { (value) }
        @if !interval.is_empty() { " " span.interval { (interval) } }
        @if !unit(claim).is_empty() { " " span.unit { (unit(claim)) } }
    }
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Experiments" {
            h2 { "Experiments" }
            ol {
                @for section in sections {
                    li { a href={ "#experiment-" (section.id) } { (section.title) } }
                }
            }
        }
    }
}

fn section(section: &Section) -> Result<Markup> {
    let outcome = &section.outcome;
    let figures = outcome.figures.iter().map(figure).collect::<Result<Vec<_>>>()?;
    Ok(html! {
        section id={ "experiment-" (section.id) } {
            h2 { (section.title) }
            @for claim in &outcome.claims { (statement(claim)) }
            @if !outcome.method.is_empty() {
                h3 { "Method" }
                @for paragraph in &outcome.method { p { (paragraph) } }
            }
            @if !figures.is_empty() {
                div.figures { @for figure in &figures { (figure) } }
            }
            @for shown in outcome.all_tables().filter(|table| table.in_report) { (table(shown)) }
            @for claim in &outcome.claims { (details(claim)) }
        }
    })
}

fn statement(claim: &Claim) -> Markup {
    html! {
        article.claim id={ "claim-" (claim.id) } {
            p.name { (id(&claim.id)) " " (badge(claim.verdict)) }
            p { (claim.statement) }
            p.values {
                (claim.source.label()) ": " (claim.expected) ". Measured: " (ours(claim))
                ", " span.whole { "n = " (claim.n) } "."
            }
        }
    }
}

fn figure(figure: &Figure) -> Result<Markup> {
    let svg = figure.picture.to_svg(&figure.title)?;
    Ok(html! {
        figure id={ "figure-" (figure.id) } {
            h3 { (figure.title) }
            div.chart { (PreEscaped(svg)) }
            figcaption { (figure.caption) }
        }
    })
}

fn table(table: &Table) -> Markup {
    // Headings stand above their numbers.
    let is_number = |column: usize| {
        let first = table.rows.first().and_then(|row| row.get(column));
        matches!(first, Some(Value::Integer(_) | Value::Number(_)))
    };
    html! {
        h3 id={ "table-" (table.id) } { (table.title) }
        // A box that scrolls has to be reachable from the keyboard.
        div.scroll tabindex="0" role="region" aria-labelledby={ "table-" (table.id) } {
            table {
                thead {
                    tr {
                        @for (index, column) in table.columns.iter().enumerate() {
                            th.number[is_number(index)] scope="col" { (column) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows { tr { @for value in row { (cell(value)) } } }
                }
            }
        }
    }
}

fn cell(value: &Value) -> Markup {
    match value {
        Value::Integer(integer) => html! { td.number { (integer) } },
        Value::Number(value) => html! { td.number { (number(*value)) } },
        Value::Text(text) => html! { td { (text) } },
    }
}

fn details(claim: &Claim) -> Markup {
    let is_empty = match &claim.details {
        serde_json::Value::Null => true,
        serde_json::Value::Object(map) => map.is_empty(),
        _ => false,
    };
    html! {
        @if !is_empty {
            details {
                summary { "Details of " code { (claim.id) } }
                pre tabindex="0" { (format!("{:#}", claim.details)) }
            }
        }
    }
}

fn times(sections: &[Section]) -> Markup {
    html! {
        section id="times" {
            h2 { "Times" }
            p {
                "By the clock. Networks are trained by the first experiment that needs them; what an "
                "interrupted run had finished takes no time again."
            }
            (table(&stopwatch::table(sections)))
        }
    }
}

fn reproduce(results: &Results, command: &str, files: &[&str]) -> Markup {
    html! {
        section id="reproduce" {
            h2 { "Reproduce this report" }
            p { "In a checkout of commit " code { (results.commit) } ":" }
            pre tabindex="0" { (command) }
            h3 { "Files of this run" }
            p { "Each figure’s and table’s data is a CSV file of its own, raw trials included." }
            ul.files { @for file in files { li { a href=(file) { (file) } } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::results::sample;

    fn sample_page() -> Result<String> {
        let mut second = sample::section();
        second.id = "t0.table1".into();
        second.title = "Table 1 & its spread".into();
        second.outcome.claims = vec![sample::claim("t0.table1", Verdict::Contradicted)];
        second.outcome.figures[0].id = "t0.table1.drops".into();
        second.outcome.tables.clear();
        let sections = [sample::section(), second];
        let mut results = sample::results();
        results.claims.push(sample::claim("t0.sota", Verdict::Undecided));
        page(&results, &sections, "cargo xtask reproduce --seed 42", &["results.json"])
    }

    /// Values of an attribute, in order.
    fn attribute<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
        page.split(&format!(" {name}=\""))
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or_default())
            .collect()
    }

    #[test]
    fn the_page_needs_nothing_but_itself() -> Result<()> {
        let page = sample_page()?.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http://", "https://", "<script", "<link", "@import", "url(", " src="] {
            assert!(!page.contains(outside), "{outside}");
        }
        Ok(())
    }

    #[test]
    fn ids_are_unique_and_links_lead_to_them() -> Result<()> {
        let page = sample_page()?;
        let ids = attribute(&page, "id");
        let unique: HashSet<_> = ids.iter().copied().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
        let links = attribute(&page, "href");
        let inner: Vec<_> = links.iter().filter_map(|link| link.strip_prefix('#')).collect();
        assert_eq!(
            inner.len(),
            6,
            "three claims with a home, two sections, an appendix: {inner:?}"
        );
        assert!(inner.iter().all(|target| unique.contains(target)), "{inner:?}");
        Ok(())
    }

    #[test]
    fn everything_that_was_measured_is_told() -> Result<()> {
        let page = sample_page()?;
        let plain = page.replace("<wbr>", "");
        for claim in sample::results().claims {
            assert!(plain.contains(&format!("<code>{}</code>", claim.id)), "{}", claim.id);
        }
        for told in [
            "4.18",
            "[3.87, 4.51]",
            "3.4 to 33.6",
            "<td class=\"number\">9.04</td>",
            "cargo xtask reproduce --seed 42",
            "6 min 53 s",
            "&quot;budgets&quot;",
        ] {
            assert!(page.contains(told), "{told}");
        }
        assert!(!page.contains("Raw trials"), "raw trials stay in their file");
        Ok(())
    }

    /// A law that holds is no claim that was reproduced.
    #[test]
    fn laws_are_in_an_appendix_and_counted_by_themselves() -> Result<()> {
        let page = sample_page()?.replace("<wbr>", "");
        let (before, appendix) =
            page.split_once("<section id=\"consistency\">").unwrap_or_default();
        assert!(appendix.contains("<code>qtaml.drift</code>"), "{appendix}");
        assert!(!before.contains("<code>qtaml.drift</code>"));
        assert!(before.contains("Consistency: 1 of 1 laws holds."), "{before}");
        assert!(before.contains("<li><b>1</b> <span class=\"verdict reproduced\">"), "{before}");
        Ok(())
    }

    #[test]
    fn words_from_outside_stay_words() -> Result<()> {
        let page = sample_page()?;
        assert!(page.contains("&lt;uniform&gt; protection &amp; without"));
        assert!(!page.contains("<uniform>"));
        Ok(())
    }

    #[test]
    fn a_reader_can_tell_verdicts_apart_without_colour() -> Result<()> {
        let page = sample_page()?;
        for verdict in Verdict::ALL {
            let badge = format!("{}</span> {}</span>", verdict.symbol(), verdict.label());
            assert!(page.contains(&badge), "{badge}");
        }
        Ok(())
    }
}
