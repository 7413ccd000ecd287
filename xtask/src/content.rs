//! A hash of all sources that results of experiments follow from.
//!
//! Comments, documentation, tests and white space are no part of it, nor are crates that compute no
//! result: a change of them leaves finished work valid. It needs no git, and knows no time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use sha2::{Digest, Sha256};

/// Crates that compute no result: the command, and pictures.
const NO_RESULTS: [&str; 2] = ["qtaml-cli", "qtaml-chart"];
/// What of a crate its program is made of.
const PARTS: [&str; 4] = ["Cargo.toml", "build.rs", "src", "data"];

/// The hash of the workspace in `root`, as hexadecimal digits.
///
/// # Errors
/// A file or folder that cannot be read.
pub(crate) fn hash(root: &Path) -> Result<String> {
    let mut files = BTreeMap::new();
    for name in ["Cargo.toml", "Cargo.lock"] {
        add(&mut files, root, &root.join(name))?;
    }
    for package in entries(&root.join("crates"))? {
        let computes = package.file_name().is_none_or(|name| NO_RESULTS.iter().all(|n| name != *n));
        for part in PARTS.map(|part| package.join(part)) {
            if computes && part.exists() {
                add(&mut files, root, &part)?;
            }
        }
    }
    let mut digest = Sha256::new();
    for (path, content) in files {
        // Lengths keep what follows each other apart.
        for bytes in [path.as_bytes(), &content] {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
    }
    Ok(digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let list = || -> std::io::Result<Vec<_>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    list().with_context(|| format!("cannot read {}", folder.display()))
}

/// Adds a file, or all files of a folder, by their paths from the root with `/` on every system.
fn add(files: &mut BTreeMap<String, Vec<u8>>, root: &Path, path: &Path) -> Result<()> {
    if path.is_dir() {
        return entries(path)?.iter().try_for_each(|entry| add(files, root, entry));
    }
    let name = path.strip_prefix(root).unwrap_or(path);
    let name: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let content = match path.extension().and_then(|extension| extension.to_str()) {
        Some("md") => return Ok(()),
        Some("rs") => rust(bytes),
        Some("toml") => toml(bytes),
        _ => bytes,
    };
    files.insert(name.join("/"), content);
    Ok(())
}

/// The tokens of Rust source, apart from documentation and modules of tests; what is no Rust as it is.
fn rust(bytes: Vec<u8>) -> Vec<u8> {
    let tokens = str::from_utf8(&bytes).ok().and_then(|text| TokenStream::from_str(text).ok());
    match tokens {
        Some(tokens) => {
            let mut text = String::new();
            append(&mut text, tokens);
            text.into_bytes()
        }
        None => bytes,
    }
}

fn append(text: &mut String, tokens: TokenStream) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = &tokens[..];
    while let Some(token) = rest.first() {
        if let Some((attribute, after)) = attribute(rest) {
            if is(&attribute, "doc") {
                rest = after;
                continue;
            }
            if is(&attribute, "cfg(test)")
                && let Some(after) = after_module(after)
            {
                rest = after;
                continue;
            }
        }
        rest = &rest[1..];
        match token {
            TokenTree::Group(group) => {
                let [open, close] = match group.delimiter() {
                    Delimiter::Parenthesis => ["(", ")"],
                    Delimiter::Brace => ["{", "}"],
                    Delimiter::Bracket => ["[", "]"],
                    Delimiter::None => ["", ""],
                };
                text.push_str(open);
                append(text, group.stream());
                text.push_str(close);
            }
            token => {
                text.push_str(&token.to_string());
                // So that `a b` is not `ab`, but `a::b` is one thing however it is broken into lines.
                text.push(' ');
            }
        }
    }
}

/// The attribute that the tokens begin with, and what follows it.
fn attribute(tokens: &[TokenTree]) -> Option<(TokenStream, &[TokenTree])> {
    let punct = |token: Option<&TokenTree>, c: char| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == c);
    let inner = usize::from(punct(tokens.get(1), '!'));
    let group = tokens.get(1 + inner).filter(|_| punct(tokens.first(), '#'))?;
    let TokenTree::Group(group) = group else { return None };
    let is_attribute = group.delimiter() == Delimiter::Bracket;
    is_attribute.then(|| (group.stream(), &tokens[2 + inner..]))
}

/// Whether an attribute begins like this.
fn is(attribute: &TokenStream, start: &str) -> bool {
    attribute
        .to_string()
        .replace(' ', "")
        .strip_prefix(start)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// What follows a module with its content, if the tokens begin with one, after further attributes.
fn after_module(mut tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    while let Some((_, after)) = attribute(tokens) {
        tokens = after;
    }
    match tokens {
        [TokenTree::Ident(word), TokenTree::Ident(_), TokenTree::Group(content), after @ ..] => {
            let is_module = *word == "mod" && content.delimiter() == Delimiter::Brace;
            is_module.then_some(after)
        }
        _ => None,
    }
}

/// TOML without lines of comments and empty lines. No manifest has text of several lines.
fn toml(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(text) = str::from_utf8(&bytes) else { return bytes };
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;

    const SOURCE: &str = r#"
//! A file.
use std::fmt;

/// A number.
#[derive(Debug)]
pub struct Number(u8);

pub const TEXT: &str = "// not a comment";

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    #[test]
    fn one() {}
}
"#;

    fn same(one: &str, other: &str) -> bool {
        assert_ne!(one, other, "the test would show nothing");
        rust(one.into()) == rust(other.into())
    }

    #[test]
    fn words_for_people_and_tests_do_not_count() {
        for (from, to) in [
            ("//! A file.", "//! A file of numbers."),
            ("//! A file.", ""),
            ("/// A number.\n", "// Not documented.\n"),
            ("/// A number.", "#[doc = \"A number.\"]"),
            ("struct Number(u8)", "struct\n    Number(u8)"),
            ("fn one() {}", "fn two() { assert!(true); }"),
        ] {
            assert!(same(SOURCE, &SOURCE.replace(from, to)), "{from} became {to}");
        }
    }

    #[test]
    fn code_counts() {
        for (from, to) in [
            ("use std::fmt;", ""),
            ("#[derive(Debug)]", ""),
            ("(u8)", "(u16)"),
            ("not a comment", "a comment"),
            ("#[cfg(test)]", ""),
            ("#[cfg(test)]", "#[cfg(testing)]"),
            ("mod tests", "fn tests()"),
        ] {
            assert!(!same(SOURCE, &SOURCE.replace(from, to)), "{from} became {to}");
        }
        assert_eq!(rust(b"no \"rust".to_vec()), b"no \"rust");
    }

    #[test]
    fn comments_of_manifests_do_not_count() {
        let of = |text: &str| toml(text.into());
        assert_eq!(of("# why\n\n[a]\nb = 1\n"), of("[a]\n  b = 1"));
        assert_ne!(of("[a]\nb = 1"), of("[a]\nb = 2"));
    }

    #[test]
    fn the_hash_is_of_what_computes() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("xtask-content-{}", std::process::id()));
        let write = |name: &str, text: &str| -> Result<()> {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().context("it has a folder")?)?;
            Ok(fs::write(path, text)?)
        };
        for (name, text) in [
            ("Cargo.toml", "[workspace]"),
            ("Cargo.lock", "version = 4"),
            ("crates/a/Cargo.toml", "[package]"),
            ("crates/a/src/lib.rs", "fn a() {}"),
            ("crates/a/data/d.txt", "1"),
            ("crates/qtaml-cli/src/main.rs", "fn main() {}"),
        ] {
            write(name, text)?;
        }
        let first = hash(&folder)?;
        for (name, text, counts) in [
            ("docs/a.md", "words", false),
            ("crates/a/README.md", "words", false),
            ("crates/a/src/notes.md", "words", false),
            ("crates/a/benches/b.rs", "fn b() {}", false),
            ("crates/qtaml-cli/src/main.rs", "fn main() { run() }", false),
            ("crates/a/src/lib.rs", "/// Words\nfn a() {} // words", false),
            ("crates/a/src/lib.rs", "fn b() {}", true),
            ("crates/a/src/lib.rs", "fn a() {}", false),
            ("crates/a/data/d.txt", "2", true),
            ("crates/a/data/d.txt", "1", false),
            ("crates/a/src/new.rs", "", true),
        ] {
            write(name, text)?;
            assert_eq!(hash(&folder)? != first, counts, "{name} is now {text:?}");
        }
        Ok(fs::remove_dir_all(folder)?)
    }

    #[test]
    fn this_workspace_has_a_hash_and_every_source_of_it_is_rust() -> Result<()> {
        assert_eq!(hash(root())?.len(), 64);
        let mut files = BTreeMap::new();
        add(&mut files, root(), &root().join("crates/qtaml-fault/src"))?;
        for (name, content) in files {
            // Their first line is documentation.
            assert!(!content.starts_with(b"//"), "{name} was not taken for Rust");
        }
        Ok(())
    }
}
