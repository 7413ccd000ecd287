//! A page for a browser: the answer in a sentence, one picture, the tables behind it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The parts of a page, from the top.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    /// The answer, in a sentence or two.
    pub(crate) answer: String,
    /// What must be known to believe it, such as that inputs are random.
    pub(crate) caution: Option<String>,
    /// A figure that the crate of charts has drawn.
    pub(crate) figure: Option<String>,
    pub(crate) caption: &'a str,
    pub(crate) tables: Vec<PageTable>,
    /// What was measured, as name and value.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// The command that does it again.
    pub(crate) command: String,
}

/// A table with a heading; columns from `numbers` on are flush right.
#[derive(Debug)]
pub(crate) struct PageTable {
    pub(crate) heading: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) numbers: usize,
}

impl Page<'_> {
    pub(crate) fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    style { (PreEscaped(include_str!("page.css"))) }
                }
                body {
                    h1 { (self.title) }
                    p.answer { (self.answer) }
                    @if let Some(caution) = &self.caution { p.caution { (caution) } }
                    @if let Some(figure) = &self.figure {
                        figure { (PreEscaped(figure)) figcaption { (self.caption) } }
                    }
                    @for table in &self.tables { (table.html()) }
                    dl { @for (name, value) in &self.facts { div { dt { (name) } dd { (value) } } } }
                    h2 { "Do it again" }
                    pre { code { (self.command) } }
                }
            }
        };
        page.into_string()
    }
}

impl PageTable {
    fn html(&self) -> Markup {
        let class = |column: usize| if column < self.numbers { "" } else { "number" };
        html! {
            h2 { (self.heading) }
            div.wide {
                table {
                    thead {
                        tr {
                            @for (column, name) in self.header.iter().enumerate() {
                                th scope="col" class=(class(column)) { (name) }
                            }
                        }
                    }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (column, cell) in row.iter().enumerate() {
                                    td class=(class(column)) { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The words of this process, as a shell would take them.
pub(crate) fn command_line() -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    ["qtaml".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_files_is_escaped() {
        let table = PageTable {
            heading: "Rows".into(),
            header: vec!["tensor".into()],
            rows: vec![vec!["<script>".into()]],
            numbers: 1,
        };
        let page = Page {
            title: "a & b",
            answer: "1 < 2".into(),
            caution: None,
            figure: Some("<svg></svg>".into()),
            caption: "",
            tables: vec![table],
            facts: vec![("model", "x\"y".into())],
            command: "qtaml".into(),
        };
        let html = page.html();
        assert!(html.contains("&lt;script&gt;") && html.contains("1 &lt; 2"), "{html}");
        assert!(html.contains("<svg></svg>") && !html.contains("<script>"));
    }
}
