//! Reading ahead: the next pieces are read while one is worked on.

use std::sync::mpsc;
use std::thread;

use crate::FileError;

/// Pieces that are read before they are asked for.
const AHEAD: usize = 2;

/// Hands over pieces that another thread reads. `read` gives each to its argument, which says whether
/// more are wanted: after an error nobody wants the rest.
///
/// # Errors
/// Those of the pieces and of `visit`.
pub(crate) fn read_ahead<T, E: From<FileError>>(
    read: impl FnOnce(&mut dyn FnMut(Result<Vec<u8>, FileError>) -> bool) -> T + Send,
    mut visit: impl FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let (sender, pieces) = mpsc::sync_channel(AHEAD);
    thread::scope(|scope| {
        scope.spawn(move || drop(read(&mut |piece| sender.send(piece).is_ok())));
        pieces.into_iter().try_for_each(|piece| visit(piece?))
    })
}
