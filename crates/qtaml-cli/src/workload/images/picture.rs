//! One image: the pixels of a PNG or a JPEG file.

use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use png::{ColorType, Transformations};
use qtaml::files::open_regular;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// An image has no more pixels than this: 800 MB of values.
const MOST_PIXELS: usize = 1 << 26;
/// A file has no more bytes than this.
const MOST_BYTES: u64 = 1 << 30;

/// Pixels row by row, each with its channels, from 0 for none to 1 for all light.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

impl Picture {
    /// The image in a file, whatever its name ends with.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot read the image {}", path.display());
        let mut bytes = Vec::new();
        let read = open_regular(path)?.take(MOST_BYTES).read_to_end(&mut bytes);
        read.with_context(cannot)?;
        Self::of_bytes(&bytes).with_context(cannot)
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => of_png(bytes),
            [0xff, 0xd8, 0xff, ..] => of_jpeg(bytes),
            _ => bail!("it is no PNG and no JPEG file, and a folder of images has nothing else"),
        }
    }

    /// The same with so many channels: grey is the light that an eye sees (ITU-R BT.601), and colours of
    /// a grey image are all alike.
    pub(super) fn with_channels(self, channels: usize) -> Self {
        let values = match (self.channels, channels) {
            (3, 1) => self.values.as_chunks().0.iter().map(luminance).collect(),
            (1, 3) => self.values.iter().flat_map(|&value| [value; 3]).collect(),
            _ => return self,
        };
        Self { channels, values, ..self }
    }
}

fn luminance([red, green, blue]: &[f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// Refuses what would fill the memory.
fn check_size(width: usize, height: usize) -> Result<()> {
    let fits = width.checked_mul(height).is_some_and(|pixels| pixels <= MOST_PIXELS);
    ensure!(fits, "it has {width} x {height} pixels, and {MOST_PIXELS} are the most");
    ensure!(width > 0 && height > 0, "it has {width} x {height} pixels");
    Ok(())
}

fn of_png(bytes: &[u8]) -> Result<Picture> {
    let limits = png::Limits { bytes: 8 * MOST_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info()?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let size = reader.output_buffer_size().context("it is too large")?;
    let mut samples = vec![0; size];
    let info = reader.next_frame(&mut samples)?;
    samples.truncate(info.buffer_size());
    let values: Vec<f32> = match info.bit_depth {
        png::BitDepth::Sixteen => {
            let samples = samples.as_chunks().0.iter();
            samples
                .map(|&bytes| f32::from(u16::from_be_bytes(bytes)) / f32::from(u16::MAX))
                .collect()
        }
        _ => of_samples(&samples),
    };
    let (channels, values) = match info.color_type {
        ColorType::Grayscale => (1, values),
        ColorType::Rgb => (3, values),
        ColorType::GrayscaleAlpha => (1, opaque::<2>(&values)?),
        ColorType::Rgba => (3, opaque::<4>(&values)?),
        ColorType::Indexed => bail!("its palette cannot be read"),
    };
    Ok(Picture { width, height, channels, values })
}

fn of_samples(samples: &[u8]) -> Vec<f32> {
    samples.iter().map(|&sample| f32::from(sample) / 255.0).collect()
}

/// Pixels without the channel that says how much is seen of them: all, or nobody knows what is behind.
fn opaque<const N: usize>(values: &[f32]) -> Result<Vec<f32>> {
    let pixels = values.as_chunks::<N>().0;
    let is_seen = |pixel: &[f32; N]| pixel.last() == Some(&1.0);
    ensure!(
        pixels.iter().all(is_seen),
        "it has transparent pixels, and what is behind them is not known: put it on a background"
    );
    Ok(pixels.iter().flat_map(|pixel| &pixel[..N - 1]).copied().collect())
}

fn of_jpeg(bytes: &[u8]) -> Result<Picture> {
    // Strict: a file that was cut off is no image with a grey lower half.
    let options = DecoderOptions::default().set_strict_mode(true);
    let options = options.set_max_width(MOST_PIXELS).set_max_height(MOST_PIXELS);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers()?;
    let info = decoder.info().context("it says no size")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;
    let (channels, space) = match info.components {
        1 => (1, ColorSpace::Luma),
        3 => (3, ColorSpace::RGB),
        other => bail!("it has {other} channels, as images for printing have: 1 or 3 are needed"),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let samples = decoder.decode()?;
    ensure!(samples.len() == width * height * channels, "its pixels are not {channels} channels");
    Ok(Picture { width, height, channels, values: of_samples(&samples) })
}

#[cfg(test)]
pub(super) mod tests {
    use png::BitDepth;

    use super::*;

    /// A PNG file.
    pub(in super::super) fn png(
        [width, height]: [u32; 2],
        color: ColorType,
        depth: BitDepth,
        samples: &[u8],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![0, 0, 255, 255, 0, 51]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(samples).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn values(bytes: &[u8]) -> (usize, Vec<f32>) {
        let picture = Picture::of_bytes(bytes).unwrap();
        assert_eq!((picture.width, picture.height), (2, 1));
        (picture.channels, picture.values)
    }

    #[test]
    fn every_kind_of_png_is_light_from_0_to_1() {
        let of = |color, depth, samples: &[u8]| values(&png([2, 1], color, depth, samples));
        let eight = BitDepth::Eight;
        assert_eq!(of(ColorType::Grayscale, eight, &[0, 51]), (1, vec![0.0, 0.2]));
        assert_eq!(of(ColorType::Grayscale, BitDepth::One, &[0b0100_0000]), (1, vec![0.0, 1.0]));
        let sixteen = of(ColorType::Grayscale, BitDepth::Sixteen, &[0x33, 0x33, 0xff, 0xff]);
        assert_eq!(sixteen, (1, vec![0.2, 1.0]));
        assert_eq!(of(ColorType::GrayscaleAlpha, eight, &[51, 255, 0, 255]), (1, vec![0.2, 0.0]));
        let rgb = vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.2];
        assert_eq!(of(ColorType::Rgb, eight, &[0, 0, 255, 255, 0, 51]), (3, rgb.clone()));
        let rgba = of(ColorType::Rgba, eight, &[0, 0, 255, 255, 255, 0, 51, 255]);
        assert_eq!(rgba, (3, rgb.clone()));
        assert_eq!(of(ColorType::Indexed, eight, &[0, 1]), (3, rgb));
        let glass = png([2, 1], ColorType::GrayscaleAlpha, eight, &[51, 255, 0, 254]);
        let error = Picture::of_bytes(&glass).unwrap_err().to_string();
        assert!(error.contains("transparent pixels"), "{error}");
    }

    /// What Pillow reads of them, by `tests/images/make.py`, up to rounding within the decoder.
    #[test]
    fn a_jpeg_is_read_as_pillow_reads_it() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/images");
        for (name, channels, expected) in [
            ("grey.jpg", 1, [0, 15, 32, 48, 64, 80, 96, 112, 9, 24, 41, 56]),
            ("colour.jpg", 3, [3, 0, 127, 29, 0, 129, 61, 0, 128, 90, 0, 127]),
        ] {
            let picture = Picture::open(&path.join(name)).unwrap();
            assert_eq!((picture.width, picture.height, picture.channels), (8, 6, channels));
            for (value, expected) in picture.values.iter().zip(expected) {
                assert!(
                    (value * 255.0 - f32_of(expected)).abs() <= 2.0,
                    "{name}: {value} {expected}"
                );
            }
        }
        // Cut off anywhere behind its header.
        let whole = std::fs::read(path.join("grey.jpg")).unwrap();
        for end in [3, 40, whole.len() - 10] {
            assert!(Picture::of_bytes(&whole[..end]).is_err(), "{end} of {}", whole.len());
        }
    }

    fn f32_of(value: i32) -> f32 {
        value as f32
    }

    #[test]
    fn what_is_no_image_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.png");
        let whole = png([2, 1], ColorType::Grayscale, BitDepth::Eight, &[1, 2]);
        for (bytes, named) in [
            (&b""[..], "no PNG and no JPEG"),
            (b"GIF89a", "no PNG and no JPEG"),
            (&whole[..whole.len() - 20], ""),
            (&whole[..20], ""),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", Picture::open(&path).unwrap_err());
            assert!(error.contains("notes.png") && error.contains(named), "{error}");
        }
        let error = check_size(1 << 20, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("1048576 x 1048576"), "{error}");
    }

    #[test]
    fn channels_become_others() {
        let colour = Picture { width: 1, height: 1, channels: 3, values: vec![1.0, 0.5, 0.0] };
        let grey = colour.clone().with_channels(1);
        assert_eq!(grey, Picture { width: 1, height: 1, channels: 1, values: vec![0.592_5] });
        assert_eq!(grey.with_channels(3).values, [0.592_5; 3]);
        assert_eq!(colour.clone().with_channels(3), colour);
    }
}
