//! The same forward passes by onnxruntime, in a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::workload::Workload;

/// What runs there: for each line with a number of turns it tells the processor seconds of one.
const PROGRAM: &str = r#"
import json, sys, time
import numpy
import onnxruntime

asked = json.load(open(sys.argv[1]))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(asked["model"], options, providers=["CPUExecutionProvider"])
kinds = {"tensor(float)": "f4", "tensor(float16)": "f2", "tensor(double)": "f8", "tensor(bool)": "?",
         "tensor(int64)": "i8", "tensor(int32)": "i4", "tensor(int8)": "i1", "tensor(uint8)": "u1"}
arrays = {}
for given in session.get_inputs():
    array = asked["arrays"][given.name]
    values = numpy.fromfile(array["file"], "<f4").reshape(array["shape"])
    arrays[given.name] = values.astype(kinds[given.type])
starts = range(0, asked["samples"], asked["batch"])
cut = lambda start: slice(start, min(start + asked["batch"], asked["samples"]))
batches = [{name: array[cut(start)] for name, array in arrays.items()} for start in starts]
for line in sys.stdin:
    start = time.process_time()
    for _ in range(int(line)):
        for batch in batches:
            session.run(None, batch)
    print((time.process_time() - start) / int(line), flush=True)
"#;

/// A process that runs the model.
pub(super) struct OnnxRuntime {
    child: Child,
    asks: ChildStdin,
    tells: BufReader<ChildStdout>,
    /// Where its inputs lie.
    _folder: TempDir,
}

impl OnnxRuntime {
    /// Starts it on one thread, with as many samples and batches as we take.
    pub(super) fn start(python: &Path, workload: &Workload, samples: usize, batch: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut arrays = serde_json::Map::new();
        for (number, (name, array)) in workload.arrays.iter().enumerate() {
            let file = folder.path().join(format!("{number}.f32"));
            let bytes: Vec<u8> = array.to_f32().iter().flat_map(|x| x.to_le_bytes()).collect();
            fs::write(&file, bytes).expect("room for the inputs");
            arrays.insert(name.clone(), json!({ "file": file, "shape": array.shape() }));
        }
        let asked = json!({
            "model": workload.path, "arrays": arrays, "samples": samples, "batch": batch,
        });
        let file = folder.path().join("asked.json");
        fs::write(&file, asked.to_string()).expect("room for the question");
        let mut command = Command::new(python);
        command.args(["-c", PROGRAM]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut child =
            started.unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
        let asks = child.stdin.take().expect("a pipe");
        let tells = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, asks, tells, _folder: folder }
    }

    /// The processor seconds of one forward pass, over so many.
    pub(super) fn seconds(&mut self, turns: u32) -> f64 {
        writeln!(self.asks, "{turns}").expect("onnxruntime listens");
        let mut line = String::new();
        self.tells.read_line(&mut line).expect("onnxruntime answers");
        line.trim().parse().unwrap_or_else(|_| panic!("onnxruntime cannot run this model"))
    }
}

impl Drop for OnnxRuntime {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
