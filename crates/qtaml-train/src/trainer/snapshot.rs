//! Snapshots: the state of a run as a file, to resume from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::Bytes;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Progress;
use crate::TrainError;
use crate::qat::Prepared;
use crate::whole_file::write_whole;

/// What is wrong with a file: only its words are needed.
type Problem = Box<dyn std::error::Error>;

/// What a run is after so many steps. Randomness needs no state: it is a function of the step.
pub(super) struct Snapshot<M> {
    pub(super) step: u64,
    pub(super) history: Vec<Progress>,
    /// The network in training, with norm statistics and the parameters of its method.
    pub(super) net: Prepared<M>,
    pub(super) optimizer: ModuleOptimizer,
    /// The network of the best epoch, if there is validation.
    pub(super) best: Option<M>,
}

/// The file of a run: `run.safetensors`, replaced as a whole by each snapshot. It holds burn's records
/// of networks and optimizer as bytes, and what identifies the run as JSON.
pub(super) struct SnapshotFile {
    path: PathBuf,
    run: Value,
}

const MODEL: &str = "model";
const OPTIMIZER: &str = "optimizer";
const BEST: &str = "best";

impl SnapshotFile {
    /// The file in `folder` of the run that `run` describes.
    pub(super) fn new(folder: &Path, run: Value) -> Self {
        Self { path: folder.join("run.safetensors"), run }
    }

    pub(super) fn save<M: Module>(&self, snapshot: &Snapshot<M>) -> Result<(), TrainError> {
        let bytes = self.encode(snapshot).map_err(|problem| self.unusable(&problem))?;
        write_whole(&self.path, &bytes)
    }

    fn encode<M: Module>(&self, snapshot: &Snapshot<M>) -> Result<Vec<u8>, Problem> {
        let record = |model: &M| model.valid().into_record().into_bytes();
        let mut parts = vec![
            (MODEL, record(&snapshot.net.model)?),
            (OPTIMIZER, snapshot.optimizer.into_bytes()?),
        ];
        if let Some(best) = &snapshot.best {
            parts.push((BEST, record(best)?));
        }
        let state = (snapshot.step, &snapshot.history);
        let metadata = HashMap::from([
            ("run".to_owned(), self.run.to_string()),
            ("state".to_owned(), serde_json::to_string(&state)?),
            ("sha256".to_owned(), sha256(parts.iter().map(|(_, bytes)| &**bytes))),
        ]);
        let views = parts.iter().map(|(name, bytes)| {
            Ok((*name, TensorView::new(Dtype::U8, vec![bytes.len()], bytes)?))
        });
        let views: Vec<_> = views.collect::<Result<_, Problem>>()?;
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Continues `fresh` where the file left off; as it is, if there is no file.
    pub(super) fn load<M: Module>(&self, fresh: Snapshot<M>) -> Result<Snapshot<M>, TrainError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(fresh),
            Err(source) => {
                return Err(TrainError::File { action: "read", path: self.path.clone(), source });
            }
        };
        let (run, saved) = decode(&bytes).map_err(|problem| self.unusable(&problem))?;
        let mut differences = Vec::new();
        compare("", &run, &self.run, &mut differences);
        if !differences.is_empty() {
            return Err(TrainError::OtherRun { path: self.path.clone(), differences });
        }
        saved.restore(fresh).map_err(|problem| self.unusable(&problem))
    }

    fn unusable(&self, problem: &Problem) -> TrainError {
        TrainError::Checkpoint { path: self.path.clone(), problem: problem.to_string() }
    }
}

/// The content of a file, before it has met a network.
struct Saved {
    step: u64,
    history: Vec<Progress>,
    model: Bytes,
    optimizer: Bytes,
    best: Option<Bytes>,
}

impl Saved {
    fn restore<M: Module>(self, mut fresh: Snapshot<M>) -> Result<Snapshot<M>, Problem> {
        let load = |model: M, bytes| -> Result<M, RecordError> {
            model.try_load_record(ModuleRecord::from_bytes(bytes)?)
        };
        let best = self.best.map(|bytes| load(fresh.net.model.valid(), bytes)).transpose()?;
        fresh.net.model = load(fresh.net.model, self.model)?;
        let optimizer = fresh.optimizer.from_bytes(self.optimizer)?;
        Ok(Snapshot { step: self.step, history: self.history, optimizer, best, ..fresh })
    }
}

fn decode(bytes: &[u8]) -> Result<(Value, Saved), Problem> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let file = SafeTensors::deserialize(bytes)?;
    let metadata = header.metadata().as_ref().ok_or("it is not a snapshot of a run")?;
    let entry = |key| metadata.get(key).ok_or_else(|| format!("it lacks {key:?}"));
    let part = |name| file.tensor(name).map(|view| view.data());
    let (model, optimizer) = (part(MODEL)?, part(OPTIMIZER)?);
    let best = file.names().contains(&BEST).then(|| part(BEST)).transpose()?;
    if *entry("sha256")? != sha256([model, optimizer].into_iter().chain(best)) {
        return Err("its check sum is wrong".into());
    }
    let (step, history) = serde_json::from_str(entry("state")?)?;
    let owned = |bytes: &[u8]| Bytes::from_bytes_vec(bytes.to_vec());
    let best = best.map(owned);
    let saved = Saved { step, history, model: owned(model), optimizer: owned(optimizer), best };
    Ok((serde_json::from_str(entry("run")?)?, saved))
}

pub(super) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    format!("{:x}", parts.into_iter().fold(Sha256::new(), Sha256::chain_update).finalize())
}

/// Collects the fields in which two runs differ, by their paths.
fn compare(path: &str, saved: &Value, asked: &Value, differences: &mut Vec<String>) {
    match (saved, asked) {
        (Value::Object(saved_fields), Value::Object(asked_fields)) => {
            let more = asked_fields.keys().filter(|key| !saved_fields.contains_key(*key));
            for key in saved_fields.keys().chain(more) {
                let path: Cow<'_, str> =
                    if path.is_empty() { key.into() } else { format!("{path}.{key}").into() };
                compare(&path, &saved[key.as_str()], &asked[key.as_str()], differences);
            }
        }
        _ if saved == asked => (),
        _ => differences.push(format!("{path} is {saved} there and {asked} here")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_field() {
        let saved = json!({"config": {"epochs": 3, "schedule": "cosine"}, "seed": 1, "old": 7});
        let asked = json!({"config": {"epochs": 4, "schedule": {"step": 2}}, "seed": 1, "new": 8});
        let mut differences = Vec::new();
        compare("", &saved, &asked, &mut differences);
        assert_eq!(
            differences,
            [
                "config.epochs is 3 there and 4 here",
                "config.schedule is \"cosine\" there and {\"step\":2} here",
                "old is 7 there and null here",
                "new is null there and 8 here",
            ]
        );
    }
}
