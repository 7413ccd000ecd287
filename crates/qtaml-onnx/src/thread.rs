//! A thread for foreign code: with a deep stack, and with its panics caught.

use std::any::Any;
use std::fmt;
use std::thread;

/// Bytes of the stack. The runtime walks graphs recursively; memory is taken only as far as it gets.
const STACK: usize = 256 << 20;

/// Why nothing came back.
#[derive(Debug)]
pub(crate) enum ThreadError {
    /// What the panic said.
    Panic(String),
    /// The system has no thread to give.
    Spawn(std::io::Error),
}

impl fmt::Display for ThreadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(message) => write!(f, "the runtime broke off: {message}"),
            Self::Spawn(_) => f.write_str("no thread could be started"),
        }
    }
}

impl std::error::Error for ThreadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Panic(_) => None,
            Self::Spawn(error) => Some(error),
        }
    }
}

/// Runs `work` on a thread of its own.
///
/// A worker of rayon that waits for another pool would begin a second trial meanwhile, and a third
/// within that. One that waits for a thread waits.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, ThreadError> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("qtaml-onnx".to_owned()).stack_size(STACK);
        let handle = builder.spawn_scoped(scope, work).map_err(ThreadError::Spawn)?;
        handle.join().map_err(|panic| ThreadError::Panic(message(&*panic)))
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_and_panics_become_errors() {
        let numbers = [1, 2, 3];
        assert_eq!(apart(|| numbers.iter().sum::<i32>()).unwrap(), 6);
        let index = numbers.len();
        let error = apart(|| numbers[index]).unwrap_err().to_string();
        assert!(error.starts_with("the runtime broke off: index out of bounds"), "{error}");
    }
}
