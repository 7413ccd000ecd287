//! The folder of the workspace, and calls of cargo and git.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::args::DeviceName;

/// The experiment runner: the package, and the program it builds.
const RUNNER: &str = "qtaml-experiments";

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// `cargo <subcommand>` on this workspace, by the same cargo that started us.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let program = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(program);
    command.arg(subcommand).arg("--manifest-path").arg(root().join("Cargo.toml"));
    command
}

/// Builds the experiment runner with the features that `device` needs; stdout is for
/// [`built_runner`].
///
/// In the whole workspace, as the tests are built: cargo resolves other features of third-party
/// crates for one package alone, and would build burn a second time. An optimised build has nothing to
/// share with the tests, and where flex alone is needed it spares itself the other backend.
///
/// One GPU backend at a time: burn's `wgpu` would no longer go through WGSL if `vulkan` were on.
pub(crate) fn build_runner(device: DeviceName, optimised: bool) -> Command {
    let mut command = cargo("build");
    command.args(["--workspace", "--bin", RUNNER]);
    if optimised {
        command.args(["--profile", "reproduce"]);
    }
    command.args(["--message-format", "json-render-diagnostics"]);
    let flex_alone = optimised && device == DeviceName::Flex;
    if flex_alone {
        command.arg("--no-default-features");
    }
    if flex_alone || is_gpu(device) {
        command.args(["--features", &format!("{RUNNER}/{device}")]);
    }
    command
}

/// Builds a program of the workspace, as the tests are built, and tells where it is.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn built(package: &str, program: &str) -> Result<PathBuf> {
    let mut command = cargo("build");
    command.args(["--workspace", "--bin", program]);
    command.args(["--message-format", "json-render-diagnostics"]);
    executable(&stdout_of(command)?, program).with_context(|| format!("of package {package}"))
}

/// Where the runner is, from the `messages` of its build: one JSON object a line.
///
/// # Errors
/// If no message tells of it.
pub(crate) fn built_runner(messages: &str) -> Result<PathBuf> {
    executable(messages, RUNNER)
}

fn executable(messages: &str, program: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .map(|mut artifact| (artifact["target"].take(), artifact["executable"].take()))
        .find(|(target, _)| target["name"] == program && target["kind"] == json!(["bin"]))
        .and_then(|(_, executable)| executable.as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no program {program}"))
}

/// Whether the backend needs a cargo feature beyond the runner's default ones.
const fn is_gpu(device: DeviceName) -> bool {
    matches!(device, DeviceName::Wgpu | DeviceName::Vulkan | DeviceName::Cuda)
}

/// Runs `command` to its end and returns what it printed.
///
/// # Errors
/// If it cannot be started or does not succeed; the error carries its stderr.
pub(crate) fn stdout_of(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{}", output.status, stderr.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The commit that is checked out, with `-dirty` if the tree differs from it, or `unknown`.
pub(crate) fn commit() -> String {
    commit_of(root()).unwrap_or_else(|_| "unknown".to_owned())
}

fn commit_of(folder: &Path) -> Result<String> {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args(args);
        stdout_of(command)
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain"])?;
    Ok(format!("{}{}", commit.trim(), if changes.is_empty() { "" } else { "-dirty" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(command: &Command) -> Vec<&str> {
        command.get_args().filter_map(|arg| arg.to_str()).collect()
    }

    #[test]
    fn the_root_is_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("it is there");
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn backends_are_features_and_all_need_the_whole_workspace() {
        let cpu = build_runner(DeviceName::Ndarray, false);
        assert!(arguments(&cpu).contains(&"--workspace"), "{cpu:?}");
        assert!(!arguments(&cpu).contains(&"--features"), "{cpu:?}");
        assert!(!arguments(&cpu).contains(&"--profile"), "{cpu:?}");
        let flex = build_runner(DeviceName::Flex, true);
        assert!(arguments(&flex).contains(&"--no-default-features"), "{flex:?}");
        assert!(arguments(&flex).ends_with(&["--features", "qtaml-experiments/flex"]), "{flex:?}");
        assert!(!arguments(&build_runner(DeviceName::Flex, false)).contains(&"--features"));
        let gpu = build_runner(DeviceName::Wgpu, true);
        assert!(arguments(&gpu).contains(&"--workspace"), "{gpu:?}");
        assert!(arguments(&gpu).contains(&"reproduce"), "{gpu:?}");
        assert!(arguments(&gpu).ends_with(&["--features", "qtaml-experiments/wgpu"]), "{gpu:?}");
    }

    fn artifact(kind: &str, name: &str, executable: Option<&str>) -> String {
        let target = json!({"kind": [kind], "name": name});
        json!({"reason": "compiler-artifact", "target": target, "executable": executable})
            .to_string()
    }

    #[test]
    fn the_runner_is_found_among_all_that_is_built() {
        let others = [
            "a line that is not cargo's".to_owned(),
            artifact("custom-build", "build-script-build", None),
            artifact("lib", RUNNER, None),
            artifact("bin", "xtask", Some("/target/debug/xtask")),
            // A warning about the runner, before the artifact itself.
            json!({"reason": "compiler-message", "target": {"kind": ["bin"], "name": RUNNER}})
                .to_string(),
        ];
        let runner = artifact("bin", RUNNER, Some("/target/debug/qtaml-experiments"));
        let end = json!({"reason": "build-finished", "success": true}).to_string();

        let error = built_runner(&others.join("\n")).expect_err("the runner is not among them");
        assert_eq!(error.to_string(), "cargo built no program qtaml-experiments");
        let path = built_runner(&[&others.join("\n"), &*runner, &*end].join("\n"));
        assert_eq!(path.expect("it is there"), Path::new("/target/debug/qtaml-experiments"));
    }

    #[test]
    fn a_command_that_fails_is_an_error_with_its_own_words() {
        let error = stdout_of(cargo("no-such-subcommand")).expect_err("cargo has no such thing");
        assert!(error.to_string().contains("no such command"), "{error}");
    }

    #[test]
    fn the_commit_says_when_the_tree_differs_from_it() {
        let folder = std::env::temp_dir().join(format!("xtask-commit-{}", std::process::id()));
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(&folder).args(args);
            stdout_of(command).expect("git is installed")
        };
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        git(&["init", "--quiet"]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
        git(&[&author[..], &["commit", "--quiet", "--allow-empty", "--message", "first"]].concat());
        let clean = commit_of(&folder).expect("there is a commit");
        std::fs::write(folder.join("new"), "").expect("as above");
        let dirty = commit_of(&folder).expect("there still is");
        std::fs::remove_dir_all(&folder).expect("it is ours");

        assert!(clean.len() >= 40 && clean.bytes().all(|c| c.is_ascii_hexdigit()), "{clean}");
        assert_eq!(dirty, clean + "-dirty");
    }

    #[test]
    fn outside_a_repository_there_is_no_commit() {
        assert!(commit_of(Path::new("/no/such/folder")).is_err());
    }
}
