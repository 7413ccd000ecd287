//! Values one by one: read as raw bytes, and replaced by raw bytes.
//!
//! `raw_data` is the one field that every type of a tensor may use, and values in it have one length
//! whatever they are. So new values of a list are written as `raw_data`, and the list is left out.

use std::io::{Read, Seek};
use std::ops::Range;

use super::OnnxError;
use super::tensor::{Listed, is_data};
use super::wire::{Bytes, Fields, Value, Wire, length_of, tag, varint_length};

/// The number of `raw_data`.
pub(super) const RAW_DATA: u64 = 9;

impl Listed {
    /// Hands over the values as raw bytes, `most` at a time or a value more, as long as they are wanted.
    pub(super) fn read<R: Read + Seek>(
        &self,
        wire: &mut Wire<R>,
        most: usize,
        mut send: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<(), OnnxError> {
        let mut piece = Vec::new();
        let mut fields = Fields::of(&self.message);
        while let Some(field) = fields.next(wire)? {
            let content = match field.value {
                _ if field.number != self.list.field => continue,
                Value::Varint(value) if !self.list.is_fixed => {
                    self.push(&mut piece, value);
                    wire.at()..wire.at()
                }
                Value::Fixed(place) if length_of(&place) == self.list.bytes => place,
                Value::Bytes(Bytes { content, .. }) => content,
                _ => continue,
            };
            wire.go(content.start)?;
            loop {
                if piece.len() >= most && !send(std::mem::take(&mut piece)) {
                    return Ok(());
                }
                if wire.at() == content.end {
                    break;
                }
                self.value(wire, &content, &mut piece)?;
            }
        }
        if !piece.is_empty() {
            send(piece);
        }
        Ok(())
    }

    /// The next value of a packed list.
    fn value<R: Read + Seek>(
        &self,
        wire: &mut Wire<R>,
        content: &Range<u64>,
        piece: &mut Vec<u8>,
    ) -> Result<(), OnnxError> {
        if !self.list.is_fixed {
            let value = wire.varint(content.end)?;
            self.push(piece, value);
            return Ok(());
        }
        let begin = piece.len();
        let left = content.end - wire.at();
        piece.resize(begin + self.list.bytes.min(left) as usize, 0);
        wire.read(wire.at(), &mut piece[begin..])
    }

    /// A negative value has its sign in all higher bits.
    fn push(&self, piece: &mut Vec<u8>, value: u64) {
        piece.extend(&value.to_le_bytes()[..self.list.bytes as usize]);
    }

    /// The length of the message with `bytes` raw bytes in place of its values.
    pub(super) fn length_with(&self, bytes: u64) -> u64 {
        let field = varint_length(tag(RAW_DATA)) + varint_length(bytes) + bytes;
        length_of(&self.message) - self.replaced + field
    }

    /// Where its fields of values lie.
    pub(super) fn replaced<'a, R: Read + Seek>(
        &'a self,
        wire: &'a mut Wire<R>,
    ) -> impl Iterator<Item = Result<Range<u64>, OnnxError>> + 'a {
        let mut fields = Fields::of(&self.message);
        let next = move || fields.next(wire).transpose();
        let fields = std::iter::from_fn(next);
        fields.filter_map(|field| match field {
            Ok(field) => is_data(field.number).then_some(Ok(field.place)),
            Err(error) => Some(Err(error)),
        })
    }
}
