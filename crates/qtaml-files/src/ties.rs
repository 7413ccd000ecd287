//! Ties: tensors of one checkpoint that are the same cells under several names.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use crate::{Checkpoint, FileError, TensorInfo};

/// Places in a tensor where it is looked at before it is read.
const SAMPLES: u64 = 16;
/// Bytes at each of them.
const SAMPLE: u64 = 64;
/// Bytes that are compared at a time.
const PIECE: usize = 1 << 22;

impl Checkpoint {
    /// Each tensor among those numbered `of` that is the same as one before it in the order of the names,
    /// with the first of these: see [`ties`](Self::ties).
    ///
    /// # Errors
    /// As [`ties`](Self::ties).
    pub fn aliases(
        &self,
        of: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<(usize, usize)>, FileError> {
        let groups = self.ties(of)?.into_iter();
        let pairs = groups.flat_map(|group| {
            let (first, aliases) = (group[0], group.into_iter().skip(1));
            aliases.map(move |alias| (alias, first))
        });
        Ok(pairs.collect())
    }

    /// The tensors among those numbered `of` that are the same: of one type, shape and content. Each
    /// group is in the order of the names, and the groups are in that of their first ones.
    ///
    /// A tensor whose elements are all the same is tied to none: biases of zeros and norms of ones are
    /// alike before training, and no two of them are one.
    ///
    /// Few bytes of each tensor are read at first, and all of those only that seem to be the same.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if bytes cannot be read.
    pub fn ties(&self, of: impl IntoIterator<Item = usize>) -> Result<Vec<Vec<usize>>, FileError> {
        let mut by_shape: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for i in of {
            let tensor = &self.tensors()[i];
            if tensor.bytes > 0 {
                by_shape.entry((tensor.dtype, &tensor.shape)).or_default().push(i);
            }
        }
        let alike = by_shape.into_values().filter(|tensors| tensors.len() > 1);
        let mut groups = Vec::new();
        for tensors in alike {
            let mut by_digest: HashMap<u64, Vec<usize>> = HashMap::new();
            for i in tensors {
                by_digest.entry(self.sampled_digest(&self.tensors()[i])?).or_default().push(i);
            }
            for candidates in by_digest.into_values().filter(|tensors| tensors.len() > 1) {
                groups.extend(self.same(candidates)?);
            }
        }
        let name = |i: usize| self.tensors()[i].name.as_str();
        for group in &mut groups {
            group.sort_by_key(|&i| name(i));
        }
        groups.sort_by_key(|group| name(group[0]));
        Ok(groups)
    }

    /// A digest of a few bytes from all over a tensor, or of all bytes of a small one.
    fn sampled_digest(&self, tensor: &TensorInfo) -> Result<u64, FileError> {
        let mut hasher = DefaultHasher::new();
        if tensor.bytes <= SAMPLES * SAMPLE {
            self.bytes_of(tensor)?.hash(&mut hasher);
            return Ok(hasher.finish());
        }
        let last = tensor.bytes - SAMPLE;
        for i in 0..SAMPLES {
            // In u128, as a tensor may have as many bytes as u64 counts.
            let at = u128::from(last) * u128::from(i) / u128::from(SAMPLES - 1);
            self.read(tensor, at as u64, SAMPLE as usize)?.hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    /// Those that are the same byte for byte, in groups of two and more.
    fn same(&self, mut tensors: Vec<usize>) -> Result<Vec<Vec<usize>>, FileError> {
        let mut groups = Vec::new();
        while let Some(first) = tensors.pop() {
            let (mut group, mut others) = (vec![first], Vec::new());
            for other in tensors {
                let is_same = self.is_same(&self.tensors()[first], &self.tensors()[other])?;
                if is_same { &mut group } else { &mut others }.push(other);
            }
            tensors = others;
            if group.len() > 1 {
                groups.push(group);
            }
        }
        Ok(groups)
    }

    /// Whether two tensors of one type and shape have the same bytes, and not one element all over.
    fn is_same(&self, a: &TensorInfo, b: &TensorInfo) -> Result<bool, FileError> {
        let element = (a.dtype.bitsize() / 8).max(1);
        let mut is_constant = true;
        for from in (0..a.bytes).step_by(PIECE) {
            let [a, b] = [self.read(a, from, PIECE)?, self.read(b, from, PIECE)?];
            if a != b {
                return Ok(false);
            }
            is_constant &= a[element.min(a.len())..] == a[..a.len() - element.min(a.len())];
        }
        // Each piece has one element all over; the first ones of two pieces may still differ.
        Ok(!is_constant || self.differs_between_pieces(a, element)?)
    }

    fn differs_between_pieces(
        &self,
        tensor: &TensorInfo,
        element: usize,
    ) -> Result<bool, FileError> {
        let first = self.read(tensor, 0, element)?;
        for from in (0..tensor.bytes).step_by(PIECE) {
            if self.read(tensor, from, element)? != first {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use safetensors::Dtype;

    use super::*;
    use crate::{TensorLayout, header};

    fn write(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
        let layout = tensors.iter().map(|(name, dtype, shape, bytes)| TensorLayout {
            name,
            dtype: *dtype,
            shape,
            bytes: bytes.len() as u64,
        });
        let mut file = header(&BTreeMap::new(), layout).unwrap();
        for (.., bytes) in tensors {
            file.extend(bytes);
        }
        std::fs::write(path, file).unwrap();
    }

    fn ties(model: &Checkpoint) -> Vec<Vec<&str>> {
        let groups = model.ties(0..model.tensors().len()).unwrap();
        let names = |group: Vec<usize>| group.iter().map(|&i| &*model.tensors()[i].name).collect();
        groups.into_iter().map(names).collect()
    }

    #[test]
    fn the_same_bytes_under_several_names_are_one_across_files() {
        let folder = tempfile::tempdir().unwrap();
        let some = |seed: usize, n: usize| -> Vec<u8> {
            (0..n).map(|i| (((i + seed) * 2_654_435_761) >> 7) as u8).collect()
        };
        let mut almost = some(1, 80_000);
        // Where no sample lies.
        almost[1234] ^= 1;
        let f32 = Dtype::F32;
        let first = [
            ("lm_head.weight", f32, vec![100, 200], some(1, 80_000)),
            ("almost.weight", f32, vec![100, 200], almost),
            ("turned.weight", f32, vec![200, 100], some(1, 80_000)),
            ("zeros.weight", f32, vec![4, 4], vec![0; 64]),
            ("a.bias", f32, vec![4], [0, 0, 128, 63].repeat(4)),
            ("short", Dtype::U8, vec![3], vec![1, 2, 3]),
            ("none", f32, vec![0], vec![]),
        ];
        let second = [
            ("embed.weight", f32, vec![100, 200], some(1, 80_000)),
            ("aaa.weight", f32, vec![100, 200], some(1, 80_000)),
            ("more_zeros.weight", f32, vec![4, 4], vec![0; 64]),
            ("b.bias", f32, vec![4], [0, 0, 128, 63].repeat(4)),
            ("short_too", Dtype::U8, vec![3], vec![1, 2, 3]),
            ("none_too", f32, vec![0], vec![]),
        ];
        write(&folder.path().join("1.safetensors"), &first);
        write(&folder.path().join("2.safetensors"), &second);
        let model = Checkpoint::open(folder.path()).unwrap();
        let expected =
            [vec!["aaa.weight", "embed.weight", "lm_head.weight"], vec!["short", "short_too"]];
        assert_eq!(ties(&model), expected);
    }

    #[test]
    fn what_changes_between_two_pieces_only_is_no_constant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let bytes = [vec![1; PIECE], vec![2; 9]].concat();
        let tensor = |name, bytes: &[u8]| (name, Dtype::U8, vec![bytes.len()], bytes.to_vec());
        let ones = vec![1; PIECE + 9];
        write(
            &path,
            &[tensor("a", &bytes), tensor("b", &bytes), tensor("c", &ones), tensor("d", &ones)],
        );
        assert_eq!(ties(&Checkpoint::open(&path).unwrap()), [["a", "b"]]);
    }
}
