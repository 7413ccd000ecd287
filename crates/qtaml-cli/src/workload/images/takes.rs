//! What a model takes for an image: layout, channels and size of its input.

use std::fmt;
use std::str::FromStr;

use qtaml::onnx::{Dim, InputKind, InputSpec};

use super::ImageUsage;

/// Where the channels of an image are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageLayout {
    /// Before height and width.
    Nchw,
    /// Behind them.
    Nhwc,
}

impl FromStr for ImageLayout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nchw" => Ok(Self::Nchw),
            "nhwc" => Ok(Self::Nhwc),
            _ => Err("nchw or nhwc is needed".into()),
        }
    }
}

/// Width and height as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side =
            |text: &str| text.trim().parse().ok().filter(|side| (1..=1 << 14).contains(side));
        let sides = text.split_once('x').and_then(|(w, h)| Some((side(w)?, side(h)?)));
        let (width, height) =
            sides.ok_or("width and height of 1 to 16384 are needed, as in 224x224")?;
        Ok(Self { width, height })
    }
}

/// What becomes of every image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) input: String,
    pub(super) layout: ImageLayout,
    pub(super) channels: usize,
    /// Both of them, if images are brought to a size.
    pub(super) size: Option<Size>,
}

impl Taken {
    /// What the only input of a model takes, as far as it says so.
    pub(super) fn of(
        inputs: &[InputSpec],
        layout: Option<ImageLayout>,
        size: Option<Size>,
    ) -> Result<Self, ImageUsage> {
        let [input] = inputs else {
            let names = inputs.iter().map(|input| input.name.clone()).collect();
            return Err(ImageUsage::Inputs(names));
        };
        let no_image = || ImageUsage::NoImage(input.to_string());
        if input.kind != InputKind::Float {
            return Err(no_image());
        }
        let dims = match input.shape.as_deref() {
            None => [None; 4],
            Some([batch, a, b, c]) => [batch, a, b, c].map(fixed),
            Some(_) => return Err(no_image()),
        };
        let layout = layout.or_else(|| guessed(dims));
        let layout = layout.ok_or_else(|| ImageUsage::LayoutUnknown(input.to_string()))?;
        let [channels, height, width] = match (layout, dims) {
            (ImageLayout::Nchw, [_, channels, height, width])
            | (ImageLayout::Nhwc, [_, height, width, channels]) => [channels, height, width],
        };
        let channels = match channels {
            None => 3,
            Some(channels @ (1 | 3)) => channels,
            Some(channels) => {
                return Err(ImageUsage::Channels { input: input.to_string(), channels });
            }
        };
        if let Some(given) = size {
            let fits = |fixed: Option<usize>, given| fixed.is_none_or(|fixed| fixed == given);
            if !fits(width, given.width) || !fits(height, given.height) {
                return Err(ImageUsage::Size { given, input: input.to_string() });
            }
        }
        let size = size.or_else(|| Some(Size { width: width?, height: height? }));
        Ok(Self { input: input.name.clone(), layout, channels, size })
    }
}

fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(size) => Some(*size),
        _ => None,
    }
}

/// The layout of a shape, if only one of its axes has as many numbers as an image has channels.
fn guessed([_, second, _, fourth]: [Option<usize>; 4]) -> Option<ImageLayout> {
    let is_channels = |axis: Option<usize>| matches!(axis, Some(1 | 3));
    match (is_channels(second), is_channels(fourth)) {
        (true, false) => Some(ImageLayout::Nchw),
        (false, true) => Some(ImageLayout::Nhwc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_of_one_or_three_is_that_of_channels() {
        use ImageLayout::{Nchw, Nhwc};
        let some = |dims: [usize; 4]| dims.map(Some);
        for (dims, layout) in [
            (some([1, 3, 224, 224]), Some(Nchw)),
            (some([1, 28, 28, 1]), Some(Nhwc)),
            ([None, Some(3), None, None], Some(Nchw)),
            ([None, None, None, Some(3)], Some(Nhwc)),
            (some([1, 3, 5, 3]), None),
            (some([1, 4, 8, 8]), None),
            ([None; 4], None),
        ] {
            assert_eq!(guessed(dims), layout, "{dims:?}");
        }
    }

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!("20x10".parse(), Ok(Size { width: 20, height: 10 }));
        for text in ["20", "0x5", "5x", "x", "-1x5", "5x5x5", "99999x1"] {
            assert!(text.parse::<Size>().unwrap_err().contains("224x224"), "{text}");
        }
        assert!("chw".parse::<ImageLayout>().is_err());
    }
}
