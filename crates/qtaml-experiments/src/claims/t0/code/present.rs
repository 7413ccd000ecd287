//! Method and table of what the listing has.

use super::measure::Measured;
use crate::results::{Table, Value};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let undefined = match &measured.undefined[..] {
        [] => "No name is used without one.".to_owned(),
        names => format!("Used and never defined: {}.", names.join(", ")),
    };
    vec![
        "Section 5.2 is headed “Complete Experimental Code”. Its identifiers are kept in a file, without the code itself, \
         by what the listing does with them: imported, defined, used, called. A fixed list says what an experiment \
         that gives Table 1 needs; a piece is there if one of the identifiers that may supply it is, and if what that \
         begins with is imported or defined."
            .into(),
        format!(
            "{undefined} A name can be found here that does not do what it says, so that nothing here shows that code \
             is right; what has no name at all is not there. Judged is the listing, as the paper prints it, and not the \
             repository that it links to. Identifiers were taken from the text by hand, and the list of needs was \
             written with the listing known."
        ),
    ]
}

pub(super) fn table(measured: &Measured) -> Table {
    let row = |(what, by): &(&'static str, Option<&'static str>)| -> Vec<Value> {
        vec![(*what).into(), by.unwrap_or("missing").into()]
    };
    Table {
        id: "t0.code.pieces".into(),
        title: "What an experiment needs, and the identifier by which the listing has it".into(),
        columns: ["needed", "in the listing"].map(String::from).to_vec(),
        rows: measured.pieces.iter().map(row).collect(),
        in_report: true,
    }
}
