//! Tables on standard output.

use std::io::{IsTerminal, stdout};

use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::printable::printable;

/// A line below the header and nothing else, in the notation of `comfy_table`.
const HEADER_LINE: &str = "     ──            ";

/// A table that fits the terminal, if there is one; columns from `numbers` on are flush right. Names from
/// files may stand in any cell.
pub(crate) fn table(
    header: impl IntoIterator<Item = impl Into<String>>,
    numbers: usize,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let rows = rows.into_iter().map(|row| -> Vec<String> {
        row.iter().map(|cell| printable(cell).into_owned()).collect()
    });
    let mut table = Table::new();
    table
        .load_preset(HEADER_LINE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.into_iter().map(Into::<String>::into))
        .add_rows(rows);
    if let Some((width, _)) = terminal_size::terminal_size().filter(|_| stdout().is_terminal()) {
        table.set_width(width.0);
    }
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
