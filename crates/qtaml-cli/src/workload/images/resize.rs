//! The size of an image changed by a triangle filter, as Pillow and torchvision do it.

use super::picture::Picture;

/// What one pixel of a line is made of: the first pixel, and the weights of it and those behind it.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// The same image in another size.
///
/// # Formula
/// Along each axis, with the scale `s = from / to`, pixel `i` is the mean of the pixels `k` weighted by
/// `max(0, 1 - |k + 1/2 - (i + 1/2) s| / max(s, 1))`: bilinear interpolation where the image grows, and
/// a mean over all pixels below the new one where it shrinks.
pub(super) fn resize(picture: &Picture, width: usize, height: usize) -> Picture {
    if (picture.width, picture.height) == (width, height) {
        return picture.clone();
    }
    let channels = picture.channels;
    let across = taps(picture.width, width);
    let mut rows = Vec::with_capacity(picture.height * width * channels);
    for row in picture.values.chunks(picture.width * channels) {
        for taps in &across {
            rows.extend((0..channels).map(|c| mean(taps, |k| row[k * channels + c])));
        }
    }
    let line = width * channels;
    let mut values = Vec::with_capacity(height * line);
    for taps in &taps(picture.height, height) {
        values.extend((0..line).map(|at| mean(taps, |k| rows[k * line + at])));
    }
    Picture { width, height, channels, values }
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let of = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let first = (center - reach).max(0.0) as usize;
        let last = ((center + reach).ceil() as usize).min(from);
        let weight = |k: usize| (1.0 - (k as f64 + 0.5 - center).abs() / reach).max(0.0);
        Taps { first, weights: (first..last).map(weight).collect() }
    };
    (0..to).map(of).collect()
}

fn mean(taps: &Taps, value: impl Fn(usize) -> f32) -> f32 {
    let weighted = taps.weights.iter().zip(taps.first..).map(|(w, k)| w * f64::from(value(k)));
    (weighted.sum::<f64>() / taps.weights.iter().sum::<f64>()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let value = |at: usize| {
            let (x, y) = (at % 5, at / 5);
            ((x * x * 37 + y * 91 + x * y * 13) % 256) as f32
        };
        Picture { width: 5, height: 4, channels: 1, values: (0..20).map(value).collect() }
    }

    /// By `tests/images/make.py`, with Pillow 13.0.
    #[test]
    fn values_are_those_of_pillow() {
        let expected: [(usize, usize, &[f32]); 3] = [
            (3, 2, &[84.837, 101.73, 140.306, 126.878, 159.619, 173.408]),
            (
                8,
                6,
                &[
                    0.0, 16.188, 43.938, 113.312, 125.812, 81.438, 78.688, 80.0, 45.5, 64.531,
                    88.344, 81.781, 98.344, 138.031, 147.344, 151.5, 106.167, 128.99, 150.219,
                    69.073, 77.719, 176.156, 196.219, 204.167, 166.833, 193.448, 220.094, 144.365,
                    105.094, 102.281, 117.094, 128.833, 99.5, 129.906, 169.969, 179.656, 172.469,
                    148.406, 165.969, 181.5, 17.0, 50.25, 102.375, 196.125, 233.0, 213.0, 234.625,
                    253.0,
                ],
            ),
            (
                2,
                7,
                &[
                    52.273, 92.273, 68.636, 117.922, 94.818, 158.961, 144.273, 136.0, 184.584,
                    116.364, 137.623, 184.0, 108.273, 226.273,
                ],
            ),
        ];
        for (width, height, expected) in expected {
            let resized = resize(&picture(), width, height);
            assert_eq!((resized.width, resized.height), (width, height));
            let worst = resized.values.iter().zip(expected).map(|(a, b)| (a - b).abs());
            assert!(resized.values.len() == expected.len());
            assert!(worst.fold(0.0, f32::max) < 1e-3, "{:?}", resized.values);
        }
    }

    #[test]
    fn channels_do_not_mix_and_a_constant_stays() {
        let values: Vec<f32> = (0..6).flat_map(|_| [0.25, 0.5, 1.0]).collect();
        let colour = Picture { width: 3, height: 2, channels: 3, values };
        let resized = resize(&colour, 7, 5);
        assert!(resized.values.chunks(3).all(|pixel| pixel == [0.25, 0.5, 1.0]));
        assert_eq!(resize(&colour, 3, 2), colour);
    }
}
