//! A folder with a model file, for tests of the command.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use assert_cmd::assert::Assert;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

/// A tensor of a model: name, type, shape and bytes.
pub(crate) type Tensor<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

/// It is gone when this is dropped.
pub(crate) struct ModelFolder(tempfile::TempDir);

impl ModelFolder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes `model.safetensors`.
    pub(crate) fn write(&self, tensors: &[Tensor<'_>], metadata: Option<HashMap<String, String>>) {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, metadata).unwrap();
        std::fs::write(self.path("model.safetensors"), bytes).unwrap();
    }

    /// `qtaml` with a command line as it is typed, in this folder.
    pub(crate) fn qtaml(&self, line: &str) -> Assert {
        let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
        command.current_dir(self.folder()).args(line.split_whitespace()).assert()
    }

    /// What it prints with `--json`.
    pub(crate) fn json(&self, line: &str) -> Value {
        let run = self.qtaml(&format!("{line} --json")).success();
        serde_json::from_slice(&run.get_output().stdout).unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The files in it, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes `model.safetensors` with so many bytes of weights and holes in their place: it takes no
    /// room on a disk.
    pub(crate) fn write_hollow(&self, bytes: u64) {
        let shape = [bytes / 4 / 1024, 1024];
        let header =
            format!(r#"{{"w":{{"dtype":"F32","shape":{shape:?},"data_offsets":[0,{bytes}]}}}}"#);
        let begin = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        std::fs::write(self.path("model.safetensors"), &begin).unwrap();
        let file = std::fs::File::options().write(true).open(self.path("model.safetensors"));
        file.unwrap().set_len(begin.len() as u64 + bytes).unwrap();
    }

    /// The most memory that a run of the command ever has in this folder, in KiB, as Linux counts it.
    pub(crate) fn peak_kib(&self, line: &str) -> u64 {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
        command.current_dir(self.folder()).args(line.split(' ')).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let seen = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            peak = peak.max(seen.unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(child.wait().unwrap().success(), "{line}");
        peak
    }
}
