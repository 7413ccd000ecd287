//! `cargo xtask tidy`: the rules of the workspace that the compiler does not know.
//!
//! Each rule is a function from text or metadata to the violations it finds, in words.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::workspace::{cargo, root, stdout_of};
use crate::{map, results};

/// The members from left to right: each may use those of the columns before its own.
const COLUMNS: [&[&str]; 7] = [
    &["qtaml-physics", "qtaml-quant", "xtask"],
    &["qtaml-fault"],
    &["qtaml-compensation", "qtaml-files"],
    &["qtaml-deploy"],
    &["qtaml-onnx", "qtaml-train"],
    &["qtaml", "qtaml-chart"],
    &["qtaml-cli", "qtaml-experiments"],
];

/// Members that use none of ours, wherever they stand: charts know nothing of what they show.
const ALONE: [&str; 1] = ["qtaml-chart"];

/// Members that build and test in seconds because burn is nowhere below them.
const WITHOUT_BURN: [&str; 9] = [
    "qtaml-physics",
    "qtaml-quant",
    "qtaml-fault",
    "qtaml-compensation",
    "qtaml-files",
    "qtaml-deploy",
    "qtaml-onnx",
    "qtaml-chart",
    "xtask",
];

/// Marks of unfinished code. In two parts each, or this file would violate the rule itself.
const LEFTOVERS: [&str; 3] =
    [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];

/// What we need of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

impl Metadata {
    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// Fails if any rule is violated, and names all violations.
pub(crate) fn run() -> Result<()> {
    let violations = violations()?;
    ensure!(violations.is_empty(), "the workspace is not tidy:\n- {}", violations.join("\n- "));
    Ok(())
}

/// The members by name and folder, from left to right.
///
/// # Errors
/// If cargo does not answer.
pub(crate) fn members() -> Result<Vec<(String, PathBuf)>> {
    Ok(from_left_to_right(&metadata()?))
}

fn from_left_to_right(metadata: &Metadata) -> Vec<(String, PathBuf)> {
    let column = |name: &str| COLUMNS.iter().position(|column| column.contains(&name));
    let mut members: Vec<&Package> = metadata.members().collect();
    // xtask is left of all as what it may use, but of interest last.
    members.sort_by_key(|member| (member.name == "xtask", column(&member.name), &member.name));
    let folder = |member: &Package| member.manifest_path.parent().map(Path::to_path_buf);
    members.iter().map(|member| (member.name.clone(), folder(member).unwrap_or_default())).collect()
}

fn metadata() -> Result<Metadata> {
    let mut command = cargo("metadata");
    command.args(["--format-version", "1", "--locked"]);
    serde_json::from_str(&stdout_of(command)?).context("cannot read cargo metadata")
}

fn violations() -> Result<Vec<String>> {
    let metadata = metadata()?;

    // The graph in the metadata holds every dependency that some feature could switch on; only
    // `cargo tree` shows what is really built.
    let mut command = cargo("tree");
    command.args(["--workspace", "--locked", "--target", "all", "--prefix", "none"]);
    let tree = stdout_of(command)?;

    // Alone: in the workspace others switch on features of what it uses.
    let mut command = cargo("tree");
    command.args(["--package", "qtaml-cli", "--locked", "--target", "all", "--prefix", "none"]);
    command.args(["--edges", "normal,build"]);
    let cli = stdout_of(command)?;

    // Of this machine's target: all targets at once could hide what differs on one.
    let features = |edges: &str| {
        let mut command = cargo("tree");
        command.args(["--workspace", "--locked", "--prefix", "none"]);
        command.args(["--format", "{p} {f}", "--edges", edges]);
        stdout_of(command)
    };

    let mut violations = arrows(&metadata);
    violations.extend(burn_free(&metadata));
    violations.extend(no_turso(&tree));
    violations.extend(cli_without_burn(&cli));
    violations.extend(same_features(&features("normal,build")?, &features("normal,build,dev")?));
    for member in metadata.members() {
        violations.extend(lints_inherited(&member.name, &read(&member.manifest_path)?));
    }
    for path in sources()? {
        violations.extend(no_leftovers(&path, &read(&path)?));
    }
    violations.extend(map::violations(&from_left_to_right(&metadata))?);
    violations.extend(results::violations());
    Ok(violations)
}

/// A member depends only on members to its left, one that stands alone on none, and none on xtask.
fn arrows(metadata: &Metadata) -> Vec<String> {
    let column = |name: &str| COLUMNS.iter().position(|column| column.contains(&name));
    let names: HashSet<&str> = metadata.members().map(|member| member.name.as_str()).collect();
    let mut violations = Vec::new();
    for member in metadata.members() {
        let Some(own) = column(&member.name) else {
            violations.push(format!("{} has no place in the order of the crates", member.name));
            continue;
        };
        // Left of everything there is nothing to use.
        let own = if ALONE.contains(&&*member.name) { 0 } else { own };
        let used = member.dependencies.iter().map(|used| used.name.as_str());
        violations.extend(
            used.filter(|used| names.contains(used))
                .filter(|used| *used == "xtask" || column(used).is_none_or(|other| other >= own))
                .map(|used| format!("{} must not depend on {used}", member.name)),
        );
    }
    violations
}

/// The crates left of `qtaml-train`, its neighbour `qtaml-onnx`, the charts, and xtask do not reach burn.
fn burn_free(metadata: &Metadata) -> Vec<String> {
    let names: HashMap<&str, &str> =
        metadata.packages.iter().map(|package| (&*package.id, &*package.name)).collect();
    let edges: HashMap<&str, &[String]> =
        metadata.resolve.nodes.iter().map(|node| (&*node.id, &*node.dependencies)).collect();
    metadata
        .members()
        .filter(|member| WITHOUT_BURN.contains(&&*member.name))
        .filter_map(|member| {
            let burn = reachable(&member.id, &edges)
                .into_iter()
                .filter_map(|id| names.get(id))
                .find(|name| **name == "burn" || name.starts_with("burn-"))?;
            Some(format!("{} must not reach {burn}", member.name))
        })
        .collect()
}

fn reachable<'a>(from: &'a str, edges: &HashMap<&str, &'a [String]>) -> HashSet<&'a str> {
    let mut seen = HashSet::from([from]);
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        let next = edges.get(id).copied().unwrap_or_default();
        open.extend(next.iter().map(String::as_str).filter(|next| seen.insert(next)));
    }
    seen
}

/// The command as it is installed builds nothing of burn: installing it takes minutes at most.
fn cli_without_burn(tree: &str) -> Option<String> {
    let burn = tree.lines().find(|line| line.starts_with("burn"));
    burn.map(|line| format!("the default qtaml-cli builds {line}"))
}

/// The default features build no SQL engine, which burn's own defaults would bring in.
fn no_turso(tree: &str) -> Vec<String> {
    let turso = tree.lines().find(|line| line.starts_with("turso"));
    turso.map(|line| format!("the default features build {line}")).into_iter().collect()
}

/// All that is built without the tests is built with the same features with them, or the runner
/// could not use what the tests have built. In both trees a line is a crate and its features.
fn same_features(without_tests: &str, with_tests: &str) -> Option<String> {
    // What cargo has shown before ends in a mark instead of being unfolded again.
    let resolved = |tree| str::lines(tree).map(|line| line.strip_suffix(" (*)").unwrap_or(line));
    let with_tests: HashSet<&str> = resolved(with_tests).collect();
    let differ: BTreeSet<&str> = resolved(without_tests)
        .filter(|line| !with_tests.contains(line))
        .filter_map(|line| line.split(' ').next())
        .collect();
    (!differ.is_empty()).then(|| {
        let names = Vec::from_iter(differ).join(", ");
        format!("tests switch on features of {names}: burn is built with and without them")
    })
}

/// The manifest has the table `[lints]` with `workspace = true`.
fn lints_inherited(member: &str, manifest: &str) -> Option<String> {
    let mut table = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let inherited = table
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true");
    (!inherited).then(|| format!("{member} does not inherit the lints of the workspace"))
}

/// No unfinished code is left in the file.
fn no_leftovers(path: &Path, text: &str) -> Vec<String> {
    let found = LEFTOVERS.iter().filter(|mark| text.contains(**mark));
    found.map(|mark| format!("{} contains `{mark}`", path.display())).collect()
}

/// All Rust and Markdown files of ours.
fn sources() -> Result<Vec<PathBuf>> {
    let mut open: Vec<PathBuf> = ["crates", "xtask", "tests", "docs", "README.md"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    open.retain(|path| path.exists());
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries =
                fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?;
            for entry in entries {
                open.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
            files.push(path);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A workspace of `members` with their direct dependencies; all else is from outside.
    fn workspace(members: &[(&str, &[&str])], outside: &[(&str, &[&str])]) -> Metadata {
        let all = || members.iter().chain(outside);
        let packages: Vec<_> = all()
            .map(|(name, uses)| {
                let uses: Vec<_> = uses.iter().map(|used| json!({"name": used})).collect();
                json!({"id": name, "name": name, "manifest_path": "", "dependencies": uses})
            })
            .collect();
        let nodes: Vec<_> =
            all().map(|(name, uses)| json!({"id": name, "dependencies": uses})).collect();
        let members: Vec<_> = members.iter().map(|(name, _)| name).collect();
        let metadata = json!({
            "packages": packages, "workspace_members": members, "resolve": {"nodes": nodes},
        });
        serde_json::from_value(metadata).expect("it has the form of cargo metadata")
    }

    #[test]
    fn the_workspace_is_tidy() {
        assert_eq!(violations().expect("cargo answers"), Vec::<String>::new());
    }

    #[test]
    fn a_member_may_use_what_is_to_its_left() {
        let good = workspace(
            &[("qtaml-physics", &[]), ("qtaml-fault", &["qtaml-physics", "rand"])],
            &[("rand", &[])],
        );
        assert_eq!(arrows(&good), Vec::<String>::new());
    }

    #[test]
    fn a_member_must_not_use_itself_its_neighbour_or_what_is_to_its_right() {
        let bad = workspace(
            &[
                ("qtaml-physics", &[]),
                ("qtaml-quant", &["qtaml-physics"]),
                ("qtaml-fault", &["qtaml-train"]),
                ("qtaml-train", &[]),
                ("qtaml-experiments", &["qtaml-cli"]),
                ("qtaml-cli", &[]),
                ("xtask", &["qtaml-fault"]),
            ],
            &[],
        );
        assert_eq!(
            arrows(&bad),
            [
                "qtaml-quant must not depend on qtaml-physics",
                "qtaml-fault must not depend on qtaml-train",
                "qtaml-experiments must not depend on qtaml-cli",
                "xtask must not depend on qtaml-fault",
            ]
        );
    }

    #[test]
    fn charts_use_none_of_ours_and_only_the_programs_use_them() {
        let members: [(&str, &[&str]); 5] = [
            ("qtaml-physics", &[]),
            ("qtaml-train", &["qtaml-chart"]),
            ("qtaml", &["qtaml-chart"]),
            ("qtaml-chart", &["qtaml-physics", "maud"]),
            ("qtaml-cli", &["qtaml-chart"]),
        ];
        assert_eq!(
            arrows(&workspace(&members, &[("maud", &[])])),
            [
                "qtaml-train must not depend on qtaml-chart",
                "qtaml must not depend on qtaml-chart",
                "qtaml-chart must not depend on qtaml-physics",
            ]
        );
    }

    #[test]
    fn members_are_listed_from_left_to_right_and_xtask_last() {
        let members = [("xtask", &[][..]), ("qtaml-fault", &[]), ("qtaml-quant", &[])];
        let listed = from_left_to_right(&workspace(&members, &[]));
        let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["qtaml-quant", "qtaml-fault", "xtask"]);
    }

    #[test]
    fn a_new_member_needs_a_place() {
        let bad = workspace(&[("qtaml-utils", &[])], &[]);
        assert_eq!(arrows(&bad), ["qtaml-utils has no place in the order of the crates"]);
    }

    #[test]
    fn burn_is_found_at_any_depth_and_in_a_cycle() {
        let outside: [(&str, &[&str]); 3] =
            [("serde", &["serde_derive"]), ("serde_derive", &["serde"]), ("burn-tensor", &[])];
        let train = ("qtaml-train", &["burn-tensor"][..]);
        let good = workspace(&[("xtask", &["serde"]), train], &outside);
        assert_eq!(burn_free(&good), Vec::<String>::new());
        let bad = workspace(
            &[("qtaml-fault", &["qtaml-quant"]), ("qtaml-quant", &["burn-tensor"])],
            &outside,
        );
        assert_eq!(
            burn_free(&bad),
            ["qtaml-fault must not reach burn-tensor", "qtaml-quant must not reach burn-tensor"]
        );
    }

    #[test]
    fn the_sql_engine_is_found_in_the_tree() {
        assert!(no_turso("qtaml v0.1.0 (/x)\nserde v1.0.229\n").is_empty());
        assert_eq!(
            no_turso("qtaml v0.1.0 (/x)\nturso v0.8.3\nturso_core v0.8.3\n"),
            ["the default features build turso v0.8.3"]
        );
    }

    #[test]
    fn burn_in_the_default_command_is_found() {
        assert_eq!(cli_without_burn("qtaml-cli v0.1.0 (/x)\nqtaml v0.1.0 (/x)\n"), None);
        let bad = "qtaml-cli v0.1.0 (/x)\nburn-tensor v0.22.1\n";
        assert_eq!(
            cli_without_burn(bad).unwrap(),
            "the default qtaml-cli builds burn-tensor v0.22.1"
        );
    }

    #[test]
    fn features_that_only_the_tests_switch_on_are_found() {
        let without = "qtaml v0.1.0 (/x) flex\nsyn v2.0.1 full\n\nsyn v2.0.1 full (*)\n\
                       regex v1.0.0 std\nsyn v1.0.9 full\nadler2 v2.0.1 \nadler2 v2.0.1  (*)\n";
        let more = format!("{without}proptest v1.12.0 std\n");
        assert_eq!(same_features(without, &more), None, "the tests may need more crates");

        let other = more.replace("syn v2.0.1 full", "syn v2.0.1 full,visit");
        let other = other.replace("regex v1.0.0 std", "regex v1.0.0 std,unicode");
        let message = same_features(without, &other).expect("two crates differ");
        assert!(message.contains(" of regex, syn:"), "{message}");
    }

    #[test]
    fn lints_are_inherited_only_by_their_own_table() {
        let good = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n\n[dependencies]\n";
        assert_eq!(lints_inherited("x", good), None);
        for bad in ["[package]\n", "[lints]\n[dependencies]\nworkspace = true\n", "[lints.rust]\n"]
        {
            assert!(lints_inherited("x", bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn unfinished_code_is_found() {
        let path = Path::new("lib.rs");
        assert!(no_leftovers(path, "// to do: nothing").is_empty());
        for mark in LEFTOVERS {
            let text = format!("fn f() {{ {mark}) }}");
            assert_eq!(no_leftovers(path, &text), [format!("lib.rs contains `{mark}`")]);
        }
    }

    #[test]
    fn the_sources_are_found() {
        let sources = sources().expect("the folders can be read");
        assert!(sources.iter().any(|path| path.ends_with("xtask/src/tidy.rs")));
    }
}
