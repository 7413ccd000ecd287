//! Writing while the next piece is made.

use std::io::{self, ErrorKind, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use miette::{IntoDiagnostic, Result};

/// Pieces that wait to be written.
const BEHIND: usize = 2;

/// Does some work whose output a thread of its own writes to `out`.
pub(crate) fn write_behind<T>(
    out: &mut (impl Write + Send),
    work: impl FnOnce(&Behind) -> Result<T>,
) -> Result<T> {
    let (sender, pieces) = mpsc::sync_channel::<Vec<u8>>(BEHIND);
    let write_all = || pieces.into_iter().try_for_each(|piece| out.write_all(&piece));
    thread::scope(|scope| {
        let writer = scope.spawn(write_all);
        let done = work(&Behind(sender));
        // What the work says of a writer that has failed is not the cause.
        writer.join().unwrap_or_else(|panic| resume_unwind(panic)).into_diagnostic()?;
        done
    })
}

/// Takes what is to be written.
pub(crate) struct Behind(SyncSender<Vec<u8>>);

impl Behind {
    /// Hands over the next piece.
    pub(crate) fn write(&self, piece: Vec<u8>) -> Result<()> {
        let sent = self.0.send(piece).map_err(|_| io::Error::from(ErrorKind::BrokenPipe));
        sent.into_diagnostic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_written_in_order() {
        let mut out = Vec::new();
        let count = write_behind(&mut out, |behind| {
            (0..100_u8).try_for_each(|i| behind.write(vec![i; 3]))?;
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
        let many = |behind: &Behind| (0..100).try_for_each(|_| behind.write(b"bytes".to_vec()));
        let error = write_behind(&mut Full, many).unwrap_err();
        assert_eq!(error.to_string(), io::Error::from(ErrorKind::StorageFull).to_string());
        let error = write_behind(&mut Vec::new(), |_| Err::<(), _>(miette::miette!("no more")));
        assert_eq!(error.unwrap_err().to_string(), "no more");
    }
}
