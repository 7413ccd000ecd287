//! Copies of an ONNX model with other values in some of its tensors.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::listed::RAW_DATA;
use super::wire::{Wire, length_of, tag, varint, varint_length};
use super::{Listed, OnnxError, OnnxFile, OnnxTensor, Place, identity_of, reader};
use crate::identity::Identity;
use crate::whole_file::found;
use crate::{Action, FileError, WholeFile};

/// Bytes that are copied at a time.
const AT_A_TIME: usize = 1 << 20;

/// A copy in the making: its files are put in place when it is finished, and are gone when dropped.
#[derive(Debug)]
#[must_use = "it is gone unless it is finished"]
pub struct OnnxCopy {
    files: Vec<WholeFile>,
}

/// Takes the new values of a tensor, as raw bytes and exactly as many as it has.
#[derive(Debug)]
pub struct NewValues<'a> {
    out: &'a mut WholeFile,
    model: &'a Path,
    tensor: &'a OnnxTensor,
    written: u64,
}

/// What comes in the place of some bytes.
#[derive(Debug)]
enum Edit<'a> {
    /// Other bytes.
    Bytes(Vec<u8>),
    /// Values of as many bytes.
    Values(&'a OnnxTensor),
    /// A message whose listed values become raw bytes.
    List(&'a OnnxTensor, &'a Listed),
}

/// Edits by where they begin, each with where it ends.
type Edits<'a> = BTreeMap<u64, (u64, Edit<'a>)>;

impl OnnxFile {
    /// Writes a copy to `out` in which the values of the chosen tensors are what `replace` writes for
    /// each, in the order of the files. Its other files come beside it under the same names.
    ///
    /// Every other byte is as it was, with one exception: where chosen values lie one by one
    /// ([`Place::Listed`]), such as those of `int32_data`, they are written as `raw_data` in place of
    /// them, and the lengths of the messages around them follow. Memory holds one piece at a time.
    ///
    /// Where two tensors have the same place in another file, they are the same cells: one of them may be
    /// chosen, and the other one changes with it.
    ///
    /// ```
    /// use qtaml_files::onnx::{OnnxFile, OnnxTensor};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = std::path::Path::new("../../tests/onnx/mlp_gemm.onnx");
    /// # let out = folder.path().join("out.onnx");
    /// let model = OnnxFile::open(path)?;
    /// let is_chosen = |tensor: &OnnxTensor| tensor.name == "fc1.weight";
    /// let copy = model.copy_with(&out, is_chosen, |tensor, values| {
    ///     values.write(&vec![0; tensor.bytes as usize])
    /// })?;
    /// copy.finish()?;
    ///
    /// let copy = OnnxFile::open(&out)?;
    /// assert!(copy.bytes_of(copy.tensor("fc1.weight")?)?.iter().all(|&byte| byte == 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FileError::Onnx`] if chosen tensors overlap, if files of the copy would be those of the model or
    /// each other, and if `replace` writes too much or too little; those of [`WholeFile::create`] and of
    /// reading; else those of `replace`.
    pub fn copy_with<E: From<FileError>>(
        &self,
        out: &Path,
        is_chosen: impl Fn(&OnnxTensor) -> bool,
        mut replace: impl FnMut(&OnnxTensor, &mut NewValues<'_>) -> Result<(), E>,
    ) -> Result<OnnxCopy, E> {
        let targets = self.targets(out)?;
        let (here, mut elsewhere) = self.edits(is_chosen)?;
        let mut model = Copying::new(&self.path, &self.path, &self.identity, out)?;
        model.copy(here, &mut replace)?;
        let mut files = Vec::new();
        for ((location, other), target) in self.others.iter().zip(&targets) {
            let mut file = Copying::new(&self.path, &other.path, &other.identity, target)?;
            file.copy(elsewhere.remove(location.as_str()).unwrap_or_default(), &mut replace)?;
            files.push(file.out);
        }
        // The model comes last: who finds it finds all of it.
        files.push(model.out);
        Ok(OnnxCopy { files })
    }

    /// The paths of all files of a copy at `out`, its own the last.
    pub fn paths_at(&self, out: &Path) -> Vec<PathBuf> {
        let folder = out.parent().unwrap_or_else(|| Path::new(""));
        let others = self.others.keys().map(|location| folder.join(location));
        others.chain([out.to_owned()]).collect()
    }

    /// The paths of the other files of a copy, if it replaces no file of this model but all of them.
    fn targets(&self, out: &Path) -> Result<Vec<PathBuf>, FileError> {
        let sources = self.others.values().map(|other| found(&other.path));
        let mut taken = sources.collect::<Result<HashSet<_>, _>>()?;
        let (model, at) = (found(&self.path)?, found(out)?);
        let is_in_place = model == at;
        if is_in_place {
            taken.clear();
        }
        taken.insert(model);
        let mut targets = self.paths_at(out);
        for (i, target) in targets.iter().enumerate() {
            // In place, the last one is the model.
            let may_be_taken = is_in_place && i == targets.len() - 1;
            let is_new = taken.insert(found(target)?);
            if !is_new && !may_be_taken {
                return Err(self.wrong(OnnxError::SamePlace { path: target.clone() }));
            }
        }
        targets.pop();
        Ok(targets)
    }

    /// What is to be replaced in the model itself, and in each of its other files.
    fn edits(
        &self,
        is_chosen: impl Fn(&OnnxTensor) -> bool,
    ) -> Result<(Edits<'_>, BTreeMap<&str, Edits<'_>>), FileError> {
        let mut here = Edits::new();
        let mut elsewhere: BTreeMap<&str, Places<'_>> = BTreeMap::new();
        let mut lengths = Lengths::default();
        for tensor in self.tensors.iter().filter(|tensor| tensor.bytes > 0) {
            let is_chosen = is_chosen(tensor);
            match &tensor.place {
                Place::Elsewhere { location, begin } => {
                    let place = (*begin, begin + tensor.bytes);
                    let tensors = elsewhere.entry(location).or_default().entry(place).or_default();
                    tensors.push((tensor, is_chosen));
                }
                _ if !is_chosen => {}
                Place::Here { begin } => {
                    here.insert(*begin, (begin + tensor.bytes, Edit::Values(tensor)));
                }
                Place::Listed(listed) => {
                    let Range { start, end } = listed.message;
                    here.insert(start, (end, Edit::List(tensor, listed)));
                    lengths.change(listed, tensor.bytes);
                }
                Place::Nowhere => {}
            }
        }
        here.extend(lengths.into_edits());
        let elsewhere = elsewhere.into_iter().map(|(location, places)| {
            Ok((location, chosen_apart(places).map_err(|error| self.wrong(error))?))
        });
        Ok((here, elsewhere.collect::<Result<_, FileError>>()?))
    }

    fn wrong(&self, source: OnnxError) -> FileError {
        FileError::Onnx { path: self.path.clone(), source }
    }
}

/// The tensors at each place of a file, and whether they are chosen.
type Places<'a> = BTreeMap<(u64, u64), Vec<(&'a OnnxTensor, bool)>>;

/// The edits of a file, if every chosen tensor has its place alone or with others that follow it.
fn chosen_apart(places: Places<'_>) -> Result<Edits<'_>, OnnxError> {
    let mut edits = Edits::new();
    // The place that reaches farthest so far, of all tensors and of chosen ones.
    let (mut any, mut chosen) = (None, None);
    for ((begin, end), tensors) in places {
        let here: Vec<_> = tensors.iter().filter(|(_, is_chosen)| *is_chosen).collect();
        let first = here.first().or(tensors.first().as_ref()).map(|(tensor, _)| *tensor);
        let Some(first) = first else { continue };
        let before = if here.is_empty() { chosen } else { any };
        let over = before.filter(|(reach, _)| *reach > begin).map(|(_, other)| other);
        if let Some(other) = here.get(1).map(|(tensor, _)| *tensor).or(over) {
            let [tensor, other] = [first, other].map(|tensor: &OnnxTensor| tensor.name.clone());
            return Err(OnnxError::Overlap { tensor, other });
        }
        let farther = |before: Option<(u64, _)>| match before {
            Some((reach, _)) if reach >= end => before,
            _ => Some((end, first)),
        };
        any = farther(any);
        if !here.is_empty() {
            chosen = farther(chosen);
            edits.insert(begin, (end, Edit::Values(first)));
        }
    }
    Ok(edits)
}

/// The lengths of messages around changed ones, by where they lie.
#[derive(Default)]
struct Lengths(BTreeMap<u64, Length>);

struct Length {
    /// Where that of the message around this one lies.
    outer: Option<u64>,
    place: Range<u64>,
    old: u64,
    new: u64,
}

impl Lengths {
    /// The message of a tensor gets so many raw bytes in place of its listed values.
    fn change(&mut self, listed: &Listed, bytes: u64) {
        let mut outer = None;
        for message in &listed.enclosing {
            let at = message.length.start;
            let old = length_of(&message.content);
            let place = message.length.clone();
            self.0.entry(at).or_insert(Length { outer, place, old, new: old });
            outer = Some(at);
        }
        if let Some(own) = outer.and_then(|at| self.0.get_mut(&at)) {
            own.new = listed.length_with(bytes);
        }
    }

    /// From the innermost message outwards: what is around one begins before it.
    fn into_edits<'a>(mut self) -> Edits<'a> {
        let mut edits = Edits::new();
        while let Some((at, Length { outer, place, old, new })) = self.0.pop_last() {
            if let Some(outer) = outer.and_then(|outer| self.0.get_mut(&outer)) {
                outer.new = outer.new + varint_length(new) + new - length_of(&place) - old;
            }
            edits.insert(at, (place.end, Edit::Bytes(varint(new))));
        }
        edits
    }
}

/// One file of a copy.
struct Copying<'a> {
    model: &'a Path,
    path: &'a Path,
    identity: &'a Identity,
    source: File,
    /// Where it is in the source.
    at: u64,
    out: WholeFile,
}

impl<'a> Copying<'a> {
    fn new(
        model: &'a Path,
        path: &'a Path,
        identity: &'a Identity,
        out: &Path,
    ) -> Result<Self, FileError> {
        let (source, out) = (reader(path, identity)?, WholeFile::create(out)?);
        Ok(Self { model, path, identity, source, at: 0, out })
    }

    /// The whole file with these edits.
    fn copy<E: From<FileError>>(
        &mut self,
        edits: Edits<'_>,
        replace: &mut impl FnMut(&OnnxTensor, &mut NewValues<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (begin, (end, edit)) in edits {
            self.copy_to(begin)?;
            match edit {
                Edit::Bytes(bytes) => self.write(&bytes)?,
                Edit::Values(tensor) => self.values(tensor, replace)?,
                // It goes on behind its last value by itself.
                Edit::List(tensor, listed) => {
                    self.list(tensor, listed, replace)?;
                    continue;
                }
            }
            self.at = end;
        }
        self.copy_to(self.identity.length())?;
        let is_same = identity_of(&self.source, self.path)? == *self.identity;
        is_same.then_some(()).ok_or_else(|| FileError::Changed { path: self.path.into() }.into())
    }

    /// Raw bytes in the place of the first field of values, and nothing in that of the others.
    fn list<E: From<FileError>>(
        &mut self,
        tensor: &OnnxTensor,
        listed: &Listed,
        replace: &mut impl FnMut(&OnnxTensor, &mut NewValues<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let wrong = |source| FileError::Onnx { path: self.model.into(), source };
        let mut wire = Wire::new(reader(self.path, self.identity)?).map_err(wrong)?;
        let mut is_first = true;
        for place in listed.replaced(&mut wire) {
            let place =
                place.map_err(|source| FileError::Onnx { path: self.model.into(), source })?;
            self.copy_to(place.start)?;
            if is_first {
                self.write(&[varint(tag(RAW_DATA)), varint(tensor.bytes)].concat())?;
                self.values(tensor, replace)?;
                is_first = false;
            }
            self.at = place.end;
        }
        Ok(())
    }

    fn values<E: From<FileError>>(
        &mut self,
        tensor: &OnnxTensor,
        replace: &mut impl FnMut(&OnnxTensor, &mut NewValues<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (model, out) = (self.model, &mut self.out);
        let mut values = NewValues { out, model, tensor, written: 0 };
        replace(tensor, &mut values)?;
        Ok(values.all()?)
    }

    /// The bytes of the source up to a place.
    fn copy_to(&mut self, end: u64) -> Result<(), FileError> {
        let io = |source| FileError::Io { action: Action::Read, path: self.path.into(), source };
        self.source.seek(SeekFrom::Start(self.at)).map_err(io)?;
        let mut piece = Vec::new();
        while self.at < end {
            let length = (end - self.at).min(AT_A_TIME as u64);
            piece.clear();
            let read = (&self.source).take(length).read_to_end(&mut piece).map_err(io)?;
            if (read as u64) < length {
                return Err(io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.out.write_all(&piece).map_err(FileError::of_write)?;
            self.at += length;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.out.write_all(bytes).map_err(FileError::of_write)
    }
}

impl NewValues<'_> {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`OnnxError::NewValues`] if the tensor has not as many, and those of [`WholeFile`].
    pub fn write(&mut self, piece: &[u8]) -> Result<(), FileError> {
        let written = self.written + piece.len() as u64;
        if written > self.tensor.bytes {
            return Err(self.miscounted(written));
        }
        self.written = written;
        self.out.write_all(piece).map_err(FileError::of_write)
    }

    /// Whether all bytes were written.
    fn all(&self) -> Result<(), FileError> {
        let is_all = self.written == self.tensor.bytes;
        is_all.then_some(()).ok_or_else(|| self.miscounted(self.written))
    }

    fn miscounted(&self, written: u64) -> FileError {
        let (tensor, expected) = (self.tensor.name.clone(), self.tensor.bytes);
        let source = OnnxError::NewValues { tensor, expected, written };
        FileError::Onnx { path: self.model.into(), source }
    }
}

impl OnnxCopy {
    /// Puts all files in place, the model last, as [`WholeFile::finish_all`] does.
    ///
    /// # Errors
    /// As [`WholeFile::finish_all`].
    pub fn finish(self) -> Result<(), FileError> {
        WholeFile::finish_all(self.files)
    }

    /// Puts all files in place, and another one that belongs to them.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(mut self, other: WholeFile) -> Result<(), FileError> {
        self.files.push(other);
        self.finish()
    }
}
