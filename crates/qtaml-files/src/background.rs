//! The background writer: one piece is written while the next is made.

use std::io::{ErrorKind, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use crate::FileError;

/// Pieces that wait to be written.
const WAITING: usize = 2;

/// Does some work whose output a thread of its own writes to `out`.
///
/// # Errors
/// The error of the writer, [`FileError::Stream`] if `out` is no [`WholeFile`](crate::WholeFile);
/// else that of the work.
pub fn write_in_background<T, E: From<FileError>>(
    out: &mut (impl Write + Send),
    work: impl FnOnce(&BackgroundWriter) -> Result<T, E>,
) -> Result<T, E> {
    let (sender, pieces) = mpsc::sync_channel::<Vec<u8>>(WAITING);
    let write_all = || pieces.into_iter().try_for_each(|piece| out.write_all(&piece));
    thread::scope(|scope| {
        let writer = scope.spawn(write_all);
        let done = work(&BackgroundWriter(sender));
        // What the work says of a writer that has failed is not the cause.
        let written = writer.join().unwrap_or_else(|panic| resume_unwind(panic));
        written.map_err(FileError::of_write)?;
        done
    })
}

/// Takes what is to be written.
#[derive(Debug)]
pub struct BackgroundWriter(SyncSender<Vec<u8>>);

impl BackgroundWriter {
    /// Hands over the next piece.
    ///
    /// # Errors
    /// [`FileError::Stream`] if the writer has failed; its own error says why.
    pub fn write(&self, piece: Vec<u8>) -> Result<(), FileError> {
        self.0.send(piece).map_err(|_| FileError::Stream(ErrorKind::BrokenPipe.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn everything_is_written_in_order() {
        let mut out = Vec::new();
        let count: Result<_, FileError> = write_in_background(&mut out, |out| {
            (0..100_u8).try_for_each(|i| out.write(vec![i; 3]))?;
            Ok(100)
        });
        assert_eq!(count.unwrap(), 100);
        assert_eq!(out, (0..100).flat_map(|i| [i; 3]).collect::<Vec<u8>>());
    }

    #[test]
    fn the_error_is_that_of_the_writer_and_else_that_of_the_work() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let many = |out: &BackgroundWriter| (0..100).try_for_each(|_| out.write(b"bytes".to_vec()));
        let error = write_in_background(&mut Full, many).unwrap_err();
        assert_eq!(error.into_io().kind(), ErrorKind::StorageFull);
        let changed = || FileError::Changed { path: "a".into() };
        let error = write_in_background(&mut Vec::new(), |_| Err::<(), _>(changed()));
        assert!(matches!(error, Err(FileError::Changed { .. })));
    }
}
