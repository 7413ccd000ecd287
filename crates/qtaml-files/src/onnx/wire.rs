//! The wire format of protocol buffers, read with seeks.
//!
//! Every length is checked against what holds it before anything is read, and nothing is allocated by
//! a number in the file (<https://protobuf.dev/programming-guides/encoding/>).

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use super::OnnxError;

/// The longest text that is read: names are short.
const LONGEST_TEXT: u64 = 1 << 16;

/// Bytes of protocol buffers, at a place in them.
#[derive(Debug)]
pub(super) struct Wire<R> {
    reader: BufReader<R>,
    at: u64,
    end: u64,
}

/// One field of a message.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) number: u64,
    /// Where it lies, with its tag.
    pub(super) place: Range<u64>,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Varint(u64),
    /// Four or eight bytes.
    Fixed(Range<u64>),
    /// A text, bytes, a message or a packed list.
    Bytes(Bytes),
}

/// What has a length before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bytes {
    /// Where its length lies.
    pub(super) length: Range<u64>,
    pub(super) content: Range<u64>,
}

/// The fields of a message, one after another; between two of them the reader may be anywhere.
#[derive(Debug)]
pub(super) struct Fields {
    at: u64,
    end: u64,
}

/// The length of a number as a varint.
pub(super) fn varint_length(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).div_ceil(7).max(1))
}

/// A number as a varint.
pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The tag of a field with a length.
pub(super) fn tag(number: u64) -> u64 {
    number << 3 | 2
}

pub(super) fn length_of(range: &Range<u64>) -> u64 {
    range.end - range.start
}

impl Fields {
    pub(super) fn of(message: &Range<u64>) -> Self {
        Self { at: message.start, end: message.end }
    }

    pub(super) fn next<R: Read + Seek>(
        &mut self,
        wire: &mut Wire<R>,
    ) -> Result<Option<Field>, OnnxError> {
        if self.at == self.end {
            return Ok(None);
        }
        wire.go(self.at)?;
        let field = wire.field(self.end)?;
        self.at = field.place.end;
        Ok(Some(field))
    }
}

impl<R: Read + Seek> Wire<R> {
    pub(super) fn new(mut reader: R) -> Result<Self, OnnxError> {
        let end = reader.seek(SeekFrom::End(0)).map_err(OnnxError::Io)?;
        reader.rewind().map_err(OnnxError::Io)?;
        Ok(Self { reader: BufReader::new(reader), at: 0, end })
    }

    /// All of it as one message.
    pub(super) fn whole(&self) -> Range<u64> {
        0..self.end
    }

    /// Where it is.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// To a place in it.
    pub(super) fn go(&mut self, to: u64) -> Result<(), OnnxError> {
        let step = i64::try_from(to).ok().zip(i64::try_from(self.at).ok());
        let Some((to, at)) = step else {
            return Err(OnnxError::Io(io::ErrorKind::InvalidInput.into()));
        };
        self.reader.seek_relative(to - at).map_err(OnnxError::Io)?;
        self.at = to as u64;
        Ok(())
    }

    /// The number at this place, within a message that ends at `end`.
    pub(super) fn varint(&mut self, end: u64) -> Result<u64, OnnxError> {
        let begin = self.at;
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array(end)?;
            let bits = u64::from(byte & 127);
            // The last of ten bytes has room for one bit.
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(OnnxError::Varint { at: begin })
    }

    /// The bytes at this place, within a message that ends at `end`.
    fn array<const N: usize>(&mut self, end: u64) -> Result<[u8; N], OnnxError> {
        self.fits(N as u64, end)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(OnnxError::Io)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn fits(&self, length: u64, end: u64) -> Result<(), OnnxError> {
        let left = end.saturating_sub(self.at);
        let error = || OnnxError::Beyond { at: self.at, length, left };
        (length <= left).then_some(()).ok_or_else(error)
    }

    /// The field at this place, of a message that ends at `end`.
    fn field(&mut self, end: u64) -> Result<Field, OnnxError> {
        let begin = self.at;
        let key = self.varint(end)?;
        let fixed = |wire: &Self, length: u64| {
            wire.fits(length, end)?;
            Ok(wire.at..wire.at + length)
        };
        let value = match key & 7 {
            0 => Value::Varint(self.varint(end)?),
            1 => Value::Fixed(fixed(self, 8)?),
            2 => {
                let at = self.at;
                let length = self.varint(end)?;
                let content = fixed(self, length)?;
                Value::Bytes(Bytes { length: at..self.at, content })
            }
            5 => Value::Fixed(fixed(self, 4)?),
            kind => return Err(OnnxError::WireType { at: begin, kind }),
        };
        let end = match &value {
            Value::Varint(_) => self.at,
            Value::Fixed(place) | Value::Bytes(Bytes { content: place, .. }) => place.end,
        };
        match key >> 3 {
            0 => Err(OnnxError::FieldZero { at: begin }),
            number => Ok(Field { number, place: begin..end, value }),
        }
    }

    /// The text in a place.
    pub(super) fn text(&mut self, place: &Range<u64>) -> Result<String, OnnxError> {
        let (at, length) = (place.start, length_of(place));
        if length > LONGEST_TEXT {
            return Err(OnnxError::LongText { at, length, most: LONGEST_TEXT });
        }
        let mut bytes = vec![0; length as usize];
        self.read(at, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| OnnxError::Text { at })
    }

    /// The bytes from a place on.
    pub(super) fn read(&mut self, from: u64, into: &mut [u8]) -> Result<(), OnnxError> {
        self.go(from)?;
        self.reader.read_exact(into).map_err(OnnxError::Io)?;
        self.at += into.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field>, OnnxError> {
        let mut wire = Wire::new(Cursor::new(bytes))?;
        let mut fields = Fields::of(&wire.whole());
        std::iter::from_fn(|| fields.next(&mut wire).transpose()).collect()
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for value in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let bytes = varint(value);
            assert_eq!(bytes.len() as u64, varint_length(value), "{value}");
            let mut wire = Wire::new(Cursor::new(&bytes)).unwrap();
            assert_eq!(wire.varint(bytes.len() as u64).unwrap(), value);
            assert_eq!(wire.at(), bytes.len() as u64);
        }
        // The example of the documentation of the format.
        assert_eq!(varint(150), [0x96, 0x01]);
    }

    #[test]
    fn fields_of_every_wire_type_have_their_places() {
        let bytes = [&[0x08, 0x96, 1][..], &[0x12, 2, b'h', b'i'], &[0x1d, 0, 0, 0, 0], &[0x21; 9]];
        let found = fields(&bytes.concat()).unwrap();
        let places: Vec<_> =
            found.iter().map(|field| (field.number, field.place.clone())).collect();
        assert_eq!(places, [(1, 0..3), (2, 3..7), (3, 7..12), (4, 12..21)]);
        assert!(matches!(found[0].value, Value::Varint(150)));
        let Value::Bytes(text) = &found[1].value else { panic!("{found:?}") };
        assert_eq!(*text, Bytes { length: 4..5, content: 5..7 });
        assert!(matches!(found[2].value, Value::Fixed(Range { start: 8, end: 12 })));
    }

    #[test]
    fn what_no_message_holds_is_refused_with_its_place() {
        for (bytes, named) in [
            (&[0x0a, 3, 1][..], "at byte 2: 3 bytes are said to follow, and 1 do"),
            (
                &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                "18446744073709551615",
            ),
            (&[0x08], "at byte 1: 1 bytes are said to follow, and 0 do"),
            (&[0x09, 0, 0], "8 bytes are said to follow, and 2 do"),
            (&[0x0b], "at byte 0: wire type 3"),
            (&[0x02, 0], "at byte 0: a field without a number"),
            (&[0xff; 11], "at byte 0: a number of more than 64 bits"),
        ] {
            let error = fields(bytes).unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
        let mut wire = Wire::new(Cursor::new(vec![b'a'; 1 << 17])).unwrap();
        let error = wire.text(&(0..1 << 17)).unwrap_err().to_string();
        assert!(error.contains("131072 bytes, more than 65536"), "{error}");
        assert!(Wire::new(Cursor::new([0xff])).unwrap().text(&(0..1)).is_err());
    }
}
