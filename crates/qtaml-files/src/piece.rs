//! Pieces of files, which are there as a whole or an error.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

/// So many bytes from a place of a file on that is read from one place at a time.
pub(crate) fn piece_at(file: &Mutex<File>, begin: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(begin))?;
    piece(&mut file, length)
}

/// So many bytes from where a file is.
pub(crate) fn piece(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    // Not filled with zeros first: that would take nearly as long as what is read from memory.
    let mut piece = Vec::with_capacity(length as usize);
    let found = file.take(length).read_to_end(&mut piece)? as u64;
    if found < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece) }
}
