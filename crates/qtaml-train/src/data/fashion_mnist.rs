//! Fashion-MNIST from a folder of IDX files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::{Dataset, Images, fixed_order};
use crate::TrainError;

const SIDE: usize = 28;
const CLASSES: u8 = 10;
const CALIBRATION: usize = 200;

impl Dataset {
    /// Fashion-MNIST: 59,800 images of 28x28 to train on, 200 to calibrate with (taken from the
    /// training file; their labels are never read) and 10,000 to test on.
    ///
    /// H. Xiao, K. Rasul and R. Vollgraf, arXiv 1708.07747, 2017, MIT licence. `folder` holds the
    /// four files under their original names, with or without `.gz`; Debian's package
    /// `dataset-fashion-mnist` installs them in `/usr/share/datasets/fashion-mnist`.
    ///
    /// # Errors
    /// [`TrainError::File`] for a file that is missing or cannot be read, [`TrainError::Data`]
    /// naming the file for one that is truncated, damaged or something else.
    pub fn fashion_mnist(folder: &Path) -> Result<Self, TrainError> {
        let train = read_pair(folder, "train", 60_000)?;
        let test = read_pair(folder, "t10k", 10_000)?;
        let order = fixed_order("fashion-mnist.split", train.len());
        let (calibration, rest) = order.split_at(CALIBRATION);
        Ok(Self { train: train.picked(rest), calibration: train.picked(calibration), test })
    }
}

fn read_pair(folder: &Path, part: &str, count: usize) -> Result<Images, TrainError> {
    let pixels = read_idx(folder, &format!("{part}-images-idx3-ubyte"), &[count, SIDE, SIDE])?;
    let name = format!("{part}-labels-idx1-ubyte");
    let labels = read_idx(folder, &name, &[count])?;
    if let Some(at) = labels.iter().position(|&label| label >= CLASSES) {
        return Err(problem(&name, format!("label {} of image {at} is not in 0..=9", labels[at])));
    }
    let pixels = pixels.into_iter().map(|p| f32::from(p) / 255.0).collect();
    let labels = labels.into_iter().map(usize::from).collect();
    Images::new(pixels, [1, SIDE, SIDE], labels, usize::from(CLASSES))
}

/// The bytes of `name` or `name.gz` in `folder`.
fn read_idx(folder: &Path, name: &str, shape: &[usize]) -> Result<Vec<u8>, TrainError> {
    let (plain, gzipped) = (folder.join(name), folder.join(format!("{name}.gz")));
    let path = if plain.exists() { plain } else { gzipped };
    let open = File::open(&path);
    let file =
        open.map_err(|source| TrainError::File { action: "read", path: path.clone(), source })?;
    let file = BufReader::new(file);
    let zipped = path.extension().is_some_and(|extension| extension == "gz");
    let content =
        if zipped { parse_idx(GzDecoder::new(file), shape) } else { parse_idx(file, shape) };
    content.map_err(|why| problem(name, why))
}

/// An IDX file of bytes: two zeros, type 8 (bytes), the rank, the shape in big-endian words, the
/// data. Only the one shape that is expected is read, so a hostile header cannot ask for memory.
fn parse_idx(mut file: impl Read, shape: &[usize]) -> Result<Vec<u8>, String> {
    let mut header = vec![0; 4 + 4 * shape.len()];
    file.read_exact(&mut header).map_err(|e| format!("its header is cut off: {e}"))?;
    let mut expected = vec![0, 0, 8, shape.len() as u8];
    expected.extend(shape.iter().flat_map(|&extent| (extent as u32).to_be_bytes()));
    if header != expected {
        return Err(format!("its header is {header:02x?}, expected {expected:02x?}"));
    }
    let size = shape.iter().product();
    let mut data = vec![0; size];
    file.read_exact(&mut data).map_err(|e| format!("its {size} bytes of data are cut off: {e}"))?;
    match file.read(&mut [0]) {
        Ok(0) => Ok(data),
        Ok(_) => Err(format!("it goes on after its {size} bytes of data")),
        Err(e) => Err(format!("its end is damaged: {e}")),
    }
}

fn problem(file: &str, problem: String) -> TrainError {
    TrainError::Data { name: format!("Fashion-MNIST, file {file}"), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|extent| extent.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    #[test]
    fn bytes_come_back_as_written() {
        let file = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(parse_idx(&file[..], &[2, 3]), Ok(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn every_truncation_and_every_surplus_is_refused() {
        let file = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        for length in 0..file.len() {
            assert!(parse_idx(&file[..length], &[2, 3]).is_err(), "{length}");
        }
        let longer = [&file[..], &[7]].concat();
        assert!(parse_idx(&longer[..], &[2, 3]).unwrap_err().contains("goes on"));
        let other = idx(&[u32::MAX, u32::MAX], &[]);
        assert!(parse_idx(&other[..], &[2, 3]).unwrap_err().contains("header"));
    }

    #[test]
    fn a_missing_folder_and_a_wrong_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Dataset::fashion_mnist(folder.path()).unwrap_err().to_string();
        assert!(error.contains("train-images-idx3-ubyte"), "{error}");
        let path = folder.path().join("train-images-idx3-ubyte");
        std::fs::write(path, "not images").unwrap();
        let error = Dataset::fashion_mnist(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("data set Fashion-MNIST, file train-images"), "{error}");
    }
}
