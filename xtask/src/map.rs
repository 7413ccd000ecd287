//! `cargo xtask map`: the code map of `docs/architecture.md`, from the first line of every source file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace::root;

/// The page that holds the map.
const PAGE: &str = "docs/architecture.md";
/// The lines around the map.
const START: &str = "<!-- code map: cargo xtask map -->";
const END: &str = "<!-- end of the code map -->";

/// Source files of a package by their paths in `src`, with `/` on every system, and their text.
type Files = BTreeMap<String, String>;

/// Writes the map into the page.
///
/// # Errors
/// A file without a first line for the map, a page without the two marks, and files that cannot be
/// read or written.
pub(crate) fn run(members: &[(String, PathBuf)]) -> Result<()> {
    let packages = packages(members)?;
    let missing = without_first_line(&packages);
    ensure!(missing.is_empty(), "the map needs more:\n- {}", missing.join("\n- "));
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let new = with_map(&page, &rendered(&packages))?;
    if new != page {
        fs::write(&path, new).with_context(|| format!("cannot write {PAGE}"))?;
    }
    Ok(())
}

/// The rule of `cargo xtask tidy`: every file has a first line, and the page has all of them.
///
/// # Errors
/// A page without the two marks, and files that cannot be read.
pub(crate) fn violations(members: &[(String, PathBuf)]) -> Result<Vec<String>> {
    let packages = packages(members)?;
    let mut violations = without_first_line(&packages);
    let page =
        fs::read_to_string(root().join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    if violations.is_empty() && with_map(&page, &rendered(&packages))? != page {
        violations.push(format!("the code map of {PAGE} is out of date: cargo xtask map"));
    }
    Ok(violations)
}

/// The source files of each of the `members`, given by name and folder.
fn packages(members: &[(String, PathBuf)]) -> Result<Vec<(String, Files)>> {
    let of = |(name, folder): &(String, PathBuf)| {
        let mut files = Files::new();
        collect(&mut files, "", &folder.join("src"))?;
        Ok((name.clone(), files))
    };
    members.iter().map(of).collect()
}

fn collect(files: &mut Files, prefix: &str, folder: &Path) -> Result<()> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    for path in list().with_context(|| format!("cannot list {}", folder.display()))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            collect(files, &format!("{prefix}{name}/"), &path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
}

/// What the first line of a file says is in it: `//!` and a phrase that ends on this line.
fn first_line(text: &str) -> Option<&str> {
    let phrase = text.lines().next()?.strip_prefix("//! ")?.trim_end();
    phrase.ends_with('.').then_some(phrase)
}

fn without_first_line(packages: &[(String, Files)]) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, files) in packages {
        let bad = files.iter().filter(|(_, text)| first_line(text).is_none());
        missing.extend(bad.map(|(path, _)| {
            format!("{name}: src/{path} must begin with `//! What is in the file.`, on one line")
        }));
    }
    missing
}

/// The map as Markdown: a nested list for each package.
fn rendered(packages: &[(String, Files)]) -> String {
    let mut map = String::new();
    for (name, files) in packages {
        let root_file = ["lib.rs", "main.rs"].into_iter().find(|file| files.contains_key(*file));
        let phrase = |path: &str| files.get(path).and_then(|text| first_line(text));
        // Writing to a string cannot fail.
        let _ = write!(map, "\n**`{name}`**: {}\n\n", root_file.and_then(phrase).unwrap_or(""));
        let mut open: Vec<&str> = Vec::new();
        for path in files.keys().filter(|path| Some(path.as_str()) != root_file) {
            let folders: Vec<&str> = path.split('/').collect();
            let Some((file, folders)) = folders.split_last() else { continue };
            let common = open.iter().zip(folders).take_while(|(open, new)| open == new).count();
            for depth in common..folders.len() {
                let folder = folders[..=depth].join("/");
                // A folder that stands beside a file of its name is a part of it.
                if !files.contains_key(&format!("{folder}.rs")) {
                    let says = phrase(&format!("{folder}/mod.rs"));
                    let says = says.map(|phrase| format!(": {phrase}")).unwrap_or_default();
                    let _ = writeln!(map, "{}- `{}/`{says}", "  ".repeat(depth), folders[depth]);
                }
            }
            open = folders.to_vec();
            if *file != "mod.rs" {
                let indent = "  ".repeat(folders.len());
                let _ = writeln!(map, "{indent}- `{file}`: {}", phrase(path).unwrap_or(""));
            }
        }
    }
    map
}

/// The page with `map` between its two marks.
fn with_map(page: &str, map: &str) -> Result<String> {
    let missing = || format!("{PAGE} has no lines `{START}` and `{END}`");
    let (before, rest) = page.split_once(START).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{START}\n{map}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(files: &[(&str, &str)]) -> Vec<(String, Files)> {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        vec![("a".to_owned(), files.collect())]
    }

    #[test]
    fn a_package_becomes_a_nested_list() {
        let files = package(&[
            ("lib.rs", "//! A library.\n\nmod b;"),
            ("main.rs", "//! Its program.\n"),
            ("b.rs", "//! A file.\n//!\n//! More.\n"),
            ("b/part.rs", "//! Its part.\n"),
            ("c/mod.rs", "//! A folder.\n"),
            ("c/d/mod.rs", "//! A deep folder.\n"),
            ("c/d/e.rs", "//! A deep file.\n"),
            ("c/f.rs", "//! Another file.\n"),
            ("z/g.rs", "//! A file of a folder without words.\n"),
        ]);
        let expected = "
**`a`**: A library.

- `b.rs`: A file.
  - `part.rs`: Its part.
- `c/`: A folder.
  - `d/`: A deep folder.
    - `e.rs`: A deep file.
  - `f.rs`: Another file.
- `main.rs`: Its program.
- `z/`
  - `g.rs`: A file of a folder without words.
";
        assert_eq!(rendered(&files), expected);
    }

    #[test]
    fn every_file_says_on_its_first_line_what_is_in_it() {
        assert_eq!(without_first_line(&package(&[("b.rs", "//! A file.\nuse c;\n")])), [""; 0]);
        for text in ["", "use c;\n", "\n//! A file.\n", "//! A file that\n//! goes on.\n", "//!\n"]
        {
            let missing = without_first_line(&package(&[("b.rs", text)]));
            assert_eq!(missing.len(), 1, "{text:?}");
            assert!(missing[0].starts_with("a: src/b.rs must begin"), "{missing:?}");
        }
    }

    #[test]
    fn a_page_keeps_what_is_around_its_map() {
        let page = format!("# Page\n{START}\nold\n{END}\nmore\n");
        let new = with_map(&page, "\n- new\n").expect("it has both marks");
        assert_eq!(new, format!("# Page\n{START}\n\n- new\n\n{END}\nmore\n"));
        assert_eq!(with_map(&new, "\n- new\n").expect("as before"), new);
        for bad in ["# Page\n".to_owned(), START.to_owned(), format!("{END}\n{START}\n")] {
            let error = with_map(&bad, "").expect_err("a mark is missing");
            assert!(error.to_string().contains(START), "{error}");
        }
    }

    #[test]
    fn files_are_found_in_every_folder() -> Result<()> {
        let packages = packages(&[("xtask".to_owned(), root().join("xtask"))])?;
        let (_, files) = &packages[0];
        assert!(files.contains_key("map.rs") && files.contains_key("bench/allocation.rs"));
        Ok(())
    }
}
