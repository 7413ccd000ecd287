//! A model with inputs: one that is made up, or the user's own.

use std::fs;
use std::path::{Path, PathBuf};

use qtaml_files::{NumpyArray, NumpyValues, read_numpy};
use qtaml_onnx::{Array, Inputs, OnnxModel, OnnxRunner};
use rand::RngExt as _;
use tempfile::TempDir;

use crate::graphs::Graph;
use crate::{SAMPLES, SEED};

pub(super) struct Workload {
    pub(super) name: String,
    /// The file of the model.
    pub(super) path: PathBuf,
    /// Its inputs by name.
    pub(super) arrays: Vec<(String, Array)>,
    pub(super) model: OnnxModel,
    inputs: Inputs,
    /// Where the file lies, if it is gone with this.
    _folder: Option<TempDir>,
}

impl Workload {
    /// A model that is made up, on random inputs.
    pub(super) fn of_graph(Graph { name, bytes, sample }: Graph) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.onnx");
        fs::write(&path, &bytes).expect("room for the model");
        let model = OnnxModel::from_bytes(&bytes).expect("a model that runs");
        let mut rng = SEED.rng("inputs", 0);
        let shape = [&[SAMPLES], &*sample].concat();
        let count: usize = shape.iter().product();
        let values = (0..count).map(|_| rng.random_range(-1.0_f32..1.0)).collect();
        let arrays = vec![("x".to_owned(), Array::f32(shape, values))];
        Self::new((name, path), model, arrays, Some(folder))
    }

    /// The user's model, on an archive with an array for each input by its name.
    pub(super) fn of_files(path: &Path, data: &Path) -> Self {
        let refused = |what: &Path, error: &dyn std::error::Error| -> ! {
            panic!("{} cannot be measured: {error}", what.display())
        };
        let model = OnnxModel::open(path).unwrap_or_else(|error| refused(path, &error));
        let arrays = read_numpy(data).unwrap_or_else(|error| refused(data, &error));
        let first = &model.inputs()[0].name;
        let named = |name: String| if name.is_empty() { first.clone() } else { name };
        let arrays =
            arrays.into_iter().map(|(name, array)| (named(name), converted(array))).collect();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self::new((name, path.to_owned()), model, arrays, None)
    }

    fn new(
        (name, path): (String, PathBuf),
        model: OnnxModel,
        arrays: Vec<(String, Array)>,
        folder: Option<TempDir>,
    ) -> Self {
        let add =
            |inputs: Inputs, (name, array): &(String, Array)| inputs.with(name, array.clone());
        let inputs = arrays.iter().fold(Inputs::new(), add);
        Self { name, path, arrays, model, inputs, _folder: folder }
    }

    pub(super) fn samples(&self) -> usize {
        self.inputs.samples().expect("inputs with samples")
    }

    /// The model on some of the samples.
    pub(super) fn runner(&self, samples: &[usize], batch: usize) -> OnnxRunner {
        let inputs = self.inputs.select(samples).expect("samples that are there");
        let runner = self.model.runner_in_batches(&inputs, batch);
        runner.unwrap_or_else(|error| panic!("{} cannot be run: {error}", self.name))
    }
}

fn converted(NumpyArray { shape, values }: NumpyArray) -> Array {
    match values {
        NumpyValues::Bool(values) => Array::bool(shape, &values),
        NumpyValues::Integer(values) => Array::i64(shape, &values),
        NumpyValues::Float(values) => Array::f32(shape, values),
        _ => panic!("an array of a kind that no model takes"),
    }
}
