//! Text from files, as a terminal may show it.

use std::borrow::Cow;

/// The text with escapes in place of what a terminal would obey or a reader would not see: controls, and
/// marks of direction and width. Whatever else stays as it is, quotes and backslashes too, so that text that
/// has been escaped is not changed again.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unseen(char) { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    shown.into()
}

/// Line by line: what ends a line stays.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    if text.chars().any(|char| char != '\n' && is_unseen(char)) {
        text.split('\n').map(printable).collect::<Vec<_>>().join("\n").into()
    } else {
        text.into()
    }
}

/// Controls, and the characters of Unicode's category Cf that names have been forged with.
fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_nothing_else() {
        for (text, shown) in [
            ("layer.0/\u{e9}\"\\'\u{4e2d}", "layer.0/\u{e9}\"\\'\u{4e2d}"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("gro\u{202e}tpyrc", "gro\\u{202e}tpyrc"),
        ] {
            assert_eq!(printable(text), shown);
            assert_eq!(printable(shown), shown, "once");
        }
        assert_eq!(printable_lines("a\u{7}\n\tb"), "a\\u{7}\n\\tb");
        assert!(matches!(printable_lines("a\nb"), Cow::Borrowed(_)));
    }
}
