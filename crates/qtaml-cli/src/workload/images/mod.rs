//! A folder of images as inputs of a model: decoded, brought to a size, normalised.

mod folder;
mod picture;
mod resize;
mod takes;

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use qtaml::onnx::{Array, InputSpec, Inputs};
use rayon::prelude::*;

use self::folder::ImageFolder;
use self::picture::Picture;
use self::resize::resize;
pub(crate) use self::takes::Size;
use self::takes::{ImageLayout, Taken};
use super::DATA;
use crate::flags::number;
use crate::usage::UsageError;

/// How the images of a folder become numbers.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "images", multiple = true)]
pub(super) struct ImageArgs {
    /// For a folder of images: the width and height that they are brought to, as in 224x224
    ///
    /// By default that of the input of the model. Images are stretched, by a triangle filter as Pillow and
    /// torchvision have it; nothing is cut off. Without a size all images must have the same.
    #[arg(long, value_name = "WxH", help_heading = DATA)]
    size: Option<Size>,

    /// For a folder of images: what is taken from values of 0 to 1, one number or one for each channel
    #[arg(long, value_name = "X[,...]", value_delimiter = ',', value_parser = finite)]
    #[arg(help_heading = DATA)]
    mean: Vec<f64>,

    /// For a folder of images: what they are then divided by, one number or one for each channel
    #[arg(long, value_name = "X[,...]", value_delimiter = ',', value_parser = positive)]
    #[arg(help_heading = DATA)]
    std: Vec<f64>,

    /// For a folder of images: nchw for channels before height and width, nhwc for channels behind them
    ///
    /// By default the shape of the input says so, where only one of these axes is 1 or 3.
    #[arg(long, value_name = "NAME", help_heading = DATA)]
    layout: Option<ImageLayout>,
}

fn finite(text: &str) -> Result<f64, String> {
    let value = number(text)?;
    value.is_finite().then_some(value).ok_or_else(|| format!("{value:?} is not finite"))
}

fn positive(text: &str) -> Result<f64, String> {
    let value = finite(text)?;
    (value > 0.0).then_some(value).ok_or_else(|| format!("{value:?} is not above 0"))
}

/// Flags that do not fit a folder of images, or the model that they are for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageUsage {
    #[error("{0} is for a folder of images, and --data is none")]
    NoFolder(&'static str),
    #[error(
        "a folder of images is for a model of one input, and this one has {}: an .npz file names them",
        .0.join(", ")
    )]
    Inputs(Vec<String>),
    #[error(
        "input {0} takes no images: floats of four axes do, and for others there are .npz and .npy files"
    )]
    NoImage(String),
    #[error("input {0} does not say which axis is that of channels: --layout nchw or nhwc does")]
    LayoutUnknown(String),
    #[error(
        "input {input} has {channels} channels, and images have 1 or 3; --layout says where they are"
    )]
    Channels { input: String, channels: usize },
    #[error("--size {given} does not fit input {input}, width by height")]
    Size { given: Size, input: String },
    #[error(
        "{first} is {size} and {other} is {other_size}: images of different sizes need --size WxH"
    )]
    Sizes { first: String, size: Size, other: String, other_size: Size },
    #[error(
        "{flag} has {given} numbers: one, or one for each of the {channels} channels, is needed"
    )]
    PerChannel { flag: &'static str, given: usize, channels: usize },
}

/// The images of a folder.
pub(super) struct Images {
    pub(super) inputs: Inputs,
    /// The class of each, where the folder has a folder for each class; and how many classes there are.
    pub(super) labels: Option<(Vec<usize>, usize)>,
}

impl ImageArgs {
    /// Refuses flags where there is no folder of images.
    pub(super) fn check_unused(&self) -> Result<(), ImageUsage> {
        let used = [
            ("--size", self.size.is_some()),
            ("--mean", !self.mean.is_empty()),
            ("--std", !self.std.is_empty()),
            ("--layout", self.layout.is_some()),
        ];
        let first = used.into_iter().find(|(_, is_used)| *is_used);
        first.map_or(Ok(()), |(flag, _)| Err(ImageUsage::NoFolder(flag)))
    }

    /// The images in a folder, as a model of these inputs takes them.
    pub(super) fn read(&self, path: &Path, inputs: &[InputSpec]) -> Result<Images> {
        let taken = self.taken(inputs).map_err(UsageError::from)?;
        let ImageFolder { files, classes, labels } = ImageFolder::list(path)?;
        let open = |file: &std::path::PathBuf| -> Result<Picture> {
            let picture = Picture::open(file)?.with_channels(taken.channels);
            Ok(match taken.size {
                Some(Size { width, height }) => resize(&picture, width, height),
                None => picture,
            })
        };
        // The first file that is no image is named, whoever is the fastest.
        let pictures: Vec<Result<Picture>> = files.par_iter().map(open).collect();
        let pictures = pictures.into_iter().collect::<Result<Vec<_>>>()?;
        let first = pictures.first().context("there is no image")?;
        for (picture, file) in pictures.iter().zip(&files) {
            check_sizes((first, files[0].as_path()), (picture, file.as_path()))
                .map_err(UsageError::from)?;
        }
        let (size, count) = (size_of(first), pictures.len());
        let values = pictures.iter().flat_map(|picture| self.normalised(&taken, picture));
        let shape = match taken.layout {
            ImageLayout::Nchw => [count, taken.channels, size.height, size.width],
            ImageLayout::Nhwc => [count, size.height, size.width, taken.channels],
        };
        let inputs = Inputs::new().with(&taken.input, Array::f32(shape, values.collect()));
        let labels = (!classes.is_empty()).then_some((labels, classes.len()));
        Ok(Images { inputs, labels })
    }

    fn taken(&self, inputs: &[InputSpec]) -> Result<Taken, ImageUsage> {
        let taken = Taken::of(inputs, self.layout, self.size)?;
        for (flag, values) in [("--mean", &self.mean), ("--std", &self.std)] {
            let (given, channels) = (values.len(), taken.channels);
            if given > 1 && given != channels {
                return Err(ImageUsage::PerChannel { flag, given, channels });
            }
        }
        Ok(taken)
    }

    /// The values of an image as the model takes them: in its layout, less the mean and over the standard
    /// deviation.
    fn normalised(&self, taken: &Taken, picture: &Picture) -> Vec<f32> {
        let of = |values: &[f64], channel: usize, default| {
            values.get(channel).or(values.first()).copied().unwrap_or(default)
        };
        let value = |at: usize| {
            let channel = at % picture.channels;
            let (mean, std) = (of(&self.mean, channel, 0.0), of(&self.std, channel, 1.0));
            ((f64::from(picture.values[at]) - mean) / std) as f32
        };
        let pixels = picture.width * picture.height;
        match taken.layout {
            ImageLayout::Nhwc => (0..picture.values.len()).map(value).collect(),
            ImageLayout::Nchw => (0..picture.channels)
                .flat_map(|channel| (0..pixels).map(move |pixel| (channel, pixel)))
                .map(|(channel, pixel)| value(pixel * picture.channels + channel))
                .collect(),
        }
    }
}

fn size_of(picture: &Picture) -> Size {
    Size { width: picture.width, height: picture.height }
}

/// Refuses images of different sizes, which make no array.
fn check_sizes(
    (first, file): (&Picture, &Path),
    (picture, other): (&Picture, &Path),
) -> Result<(), ImageUsage> {
    let (size, other_size) = (size_of(first), size_of(picture));
    if size == other_size {
        return Ok(());
    }
    let [first, other] = [file, other].map(|path| path.display().to_string());
    Err(ImageUsage::Sizes { first, size, other, other_size })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use png::{BitDepth, ColorType};
    use qtaml::onnx::OnnxModel;

    use super::picture::tests::png;
    use super::*;

    fn model(name: &str) -> OnnxModel {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        OnnxModel::open(root.join(name)).unwrap()
    }

    /// Of images of `[samples, 3, 10, 10]`.
    fn colour() -> OnnxModel {
        model("tests/onnx/conv_bn.onnx")
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let path = folder.path().to_owned();
        (folder, path)
    }

    fn sample(at: usize) -> u8 {
        (at * 53 + at * at * 7) as u8
    }

    fn image(width: u32, height: u32, color: ColorType) -> Vec<u8> {
        let samples: Vec<u8> =
            (0..(width * height) as usize * color.samples()).map(sample).collect();
        png([width, height], color, BitDepth::Eight, &samples)
    }

    fn values(inputs: &Inputs) -> Vec<f32> {
        let mut values = Vec::new();
        inputs.for_each_bytes(|bytes| {
            if let Ok(bytes) = bytes.try_into() {
                values.push(f32::from_le_bytes(bytes));
            }
        });
        values
    }

    /// By the definition, over all pixels of the image at once.
    #[test]
    fn pixels_are_stretched_and_normalised_channel_by_channel() {
        let files =
            [("b.png", image(4, 15, ColorType::Rgb)), ("a.png", image(5, 3, ColorType::Grayscale))];
        let (_folder, path) = folder(&files);
        let (mean, std) = (vec![0.1, 0.2, 0.3], vec![0.5, 0.25, 2.0]);
        let args = ImageArgs { mean: mean.clone(), std: std.clone(), ..ImageArgs::default() };
        let read = args.read(&path, colour().inputs()).unwrap();
        assert!(read.labels.is_none());
        let read = values(&read.inputs);
        assert_eq!(read.len(), 2 * 3 * 10 * 10);
        let stretched =
            |[width, height]: [usize; 2], of: &dyn Fn(usize, usize) -> f64, x: usize, y: usize| {
                let weight = |from: usize, at: usize, k: usize| {
                    let scale = from as f64 / 10.0;
                    let distance = (k as f64 + 0.5 - (at as f64 + 0.5) * scale).abs();
                    (1.0 - distance / scale.max(1.0)).max(0.0)
                };
                let (mut sum, mut all) = (0.0, 0.0);
                for (k, l) in (0..height).flat_map(|l| (0..width).map(move |k| (k, l))) {
                    let weight = weight(width, x, k) * weight(height, y, l);
                    (sum, all) = (sum + weight * of(k, l), all + weight);
                }
                sum / all
            };
        for (image, size) in [(0, [5, 3]), (1, [4, 15])] {
            for (channel, y, x) in (0..300).map(|at| (at / 100, at / 10 % 10, at % 10)) {
                let at = |k: usize, l: usize| match image {
                    0 => l * 5 + k,
                    _ => 3 * (l * 4 + k) + channel,
                };
                let light = stretched(size, &|k, l| f64::from(sample(at(k, l))) / 255.0, x, y);
                let expected = (light - mean[channel]) / std[channel];
                let found = read[image * 300 + channel * 100 + y * 10 + x];
                assert!((f64::from(found) - expected).abs() < 1e-5, "{image} {channel} {x} {y}");
            }
        }
    }

    #[test]
    fn a_layout_turns_the_axes() {
        let (_folder, path) = folder(&[("a.png", image(2, 3, ColorType::Rgb))]);
        let taken = |layout| Taken { input: "x".into(), layout, channels: 3, size: None };
        let picture = Picture::open(&path.join("a.png")).unwrap();
        let args = ImageArgs { mean: vec![0.5], ..ImageArgs::default() };
        let behind = args.normalised(&taken(ImageLayout::Nhwc), &picture);
        let before = args.normalised(&taken(ImageLayout::Nchw), &picture);
        let expected = |at: usize| ((f64::from(picture.values[at]) - 0.5) / 1.0) as f32;
        assert!((0..18).all(|at| behind[at] == expected(at)));
        assert!((0..18).all(|at| before[at % 3 * 6 + at / 3] == behind[at]));
    }

    #[test]
    fn what_does_not_fit_the_model_is_named() {
        let (_folder, path) = folder(&[
            ("a.png", image(2, 3, ColorType::Rgb)),
            ("b.png", image(3, 3, ColorType::Rgb)),
        ]);
        let error = |args: &ImageArgs, model: &OnnxModel| {
            let error = args.read(&path, model.inputs()).err().unwrap();
            format!("{error:#}")
        };
        let size = |text: &str| ImageArgs { size: text.parse().ok(), ..ImageArgs::default() };
        assert!(error(&size("11x10"), &colour()).contains("--size 11x10 does not fit input"));
        let nhwc = ImageArgs { layout: "nhwc".parse().ok(), ..ImageArgs::default() };
        assert!(error(&nhwc, &colour()).contains("has 10 channels, and images have 1 or 3"));
        let two = ImageArgs { mean: vec![0.1, 0.2], ..ImageArgs::default() };
        assert!(error(&two, &colour()).contains("--mean has 2 numbers"));
        let plain = ImageArgs::default();
        assert!(error(&plain, &model("tests/onnx/mlp_gemm.onnx")).contains("takes no images"));
        // Nobody says which size: all have the same one, or it is an error.
        let pictures = [("a", 2, 3), ("b", 3, 3)].map(|(name, width, height)| {
            let picture = Picture { width, height, channels: 1, values: vec![0.0; width * height] };
            (picture, PathBuf::from(name))
        });
        let [(a, first), (b, second)] = &pictures;
        assert!(check_sizes((a, first.as_path()), (a, second.as_path())).is_ok());
        let sizes =
            check_sizes((a, first.as_path()), (b, second.as_path())).unwrap_err().to_string();
        assert_eq!(sizes, "a is 2x3 and b is 3x3: images of different sizes need --size WxH");
    }

    #[test]
    fn the_first_file_that_is_no_image_is_named() {
        let (_folder, path) = folder(&[
            ("c.txt", b"labels".to_vec()),
            ("a.png", image(2, 3, ColorType::Rgb)),
            ("b.png", b"GIF89a".to_vec()),
        ]);
        let error = ImageArgs::default().read(&path, colour().inputs()).err().unwrap();
        assert!(format!("{error:#}").contains("b.png"), "{error:#}");
    }
}
