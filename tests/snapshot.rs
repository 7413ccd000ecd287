//! Texts that the command prints, as they are known.

use std::path::Path;

/// Compares a text with the file of this name in `tests/snapshots`. With `UPDATE_SNAPSHOTS=1` in the
/// environment the file is written instead: what has changed is for git to show.
pub(crate) fn assert_snapshot(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/snapshots");
    let path = folder.join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "{name} is\n{text}\nand was\n{known}");
}
