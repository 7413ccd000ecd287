//! Runs of the runtime: one thread each, so that bits of outputs do not depend on how many there are.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;

use crate::RunError;

/// Pools of one thread, as many as runs were ever at the same time.
#[derive(Default)]
pub(crate) struct Pools(Mutex<Vec<Arc<ThreadPool>>>);

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

impl Pools {
    /// Does some work with a pool that nobody else has meanwhile.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Arc<ThreadPool>) -> T) -> T {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pool = free.unwrap_or_else(|| Arc::new(ThreadPool::with_num_threads(1)));
        let done = work(&pool);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        done
    }
}

/// One run.
pub(crate) fn run(
    model: &Model,
    inputs: Vec<(NodeId, ValueOrView<'_>)>,
    outputs: &[NodeId],
    pool: &Arc<ThreadPool>,
) -> Result<Vec<Value>, rten::RunError> {
    let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
    model.run(inputs, outputs, Some(options))
}

/// What the runtime says, as an error of a run.
pub(crate) fn runtime(error: impl Into<Box<dyn Error + Send + Sync>>) -> RunError {
    RunError::Runtime(error.into())
}

/// The value that a plan could not be made for, as the runtime says where a fusion has taken it away.
pub(crate) fn fused_away(error: &rten::RunError) -> Option<String> {
    let text = error.to_string();
    let rest = text.split_once("Source node not found for output \"")?.1;
    rest.strip_suffix('"').map(str::to_owned)
}

/// Shape and numbers of an output; integers become floats.
pub(crate) fn floats(name: &str, value: &Value) -> Result<(Vec<usize>, Vec<f32>), RunError> {
    let numbers = match value {
        Value::FloatTensor(tensor) => (tensor.shape().to_vec(), tensor.to_vec()),
        Value::Int32Tensor(tensor) => (tensor.shape().to_vec(), converted(tensor.iter())),
        Value::Int8Tensor(tensor) => {
            (tensor.shape().to_vec(), tensor.iter().map(|&value| f32::from(value)).collect())
        }
        Value::UInt8Tensor(tensor) => {
            (tensor.shape().to_vec(), tensor.iter().map(|&value| f32::from(value)).collect())
        }
        other => {
            let (output, found) = (name.to_owned(), other.dtype().to_string());
            return Err(RunError::Output { output, found });
        }
    };
    Ok(numbers)
}

fn converted<'a>(values: impl Iterator<Item = &'a i32>) -> Vec<f32> {
    values.map(|&value| value as f32).collect()
}

/// Bytes that a value takes.
pub(crate) fn bytes(value: &Value) -> usize {
    match value {
        Value::FloatTensor(tensor) => 4 * tensor.len(),
        Value::Int32Tensor(tensor) => 4 * tensor.len(),
        Value::Int8Tensor(tensor) => tensor.len(),
        Value::UInt8Tensor(tensor) => tensor.len(),
        _ => 0,
    }
}
