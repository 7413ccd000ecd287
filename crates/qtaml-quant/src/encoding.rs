//! The encodings of a code: what the bits of a word stand for.

/// How a signed code is written in bits.
///
/// All four agree on the codes from `-(2^(b-1) - 1)` to `2^(b-1) - 1`; they differ in what a
/// flipped bit does to them, and so in what protecting it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// `q = -2^(b-1) B_(b-1) + Σ_(i<b-1) 2^i B_i`: what processors use, and the sources.
    #[default]
    TwosComplement,
    /// `q = (-1)^B_(b-1) Σ_(i<b-1) 2^i B_i`. Zero has two words; `-2^(b-1)` has none.
    SignMagnitude,
    /// `q = -2^(b-1) + Σ 2^i B_i`, also called excess code: words in the order of their codes.
    OffsetBinary,
    /// The reflected binary code of `q + 2^(b-1)` (F. Gray, US patent 2632058, 1953): neighbouring
    /// codes differ in one bit.
    Gray,
}

crate::names!(Encoding, "encoding", {
    TwosComplement: "twos-complement",
    SignMagnitude: "sign-magnitude",
    OffsetBinary: "offset-binary",
    Gray: "gray",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_are_those_of_files() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.name().parse(), Ok(encoding));
            let json = serde_json::to_string(&encoding).unwrap();
            assert_eq!(json, format!("\"{encoding}\""));
        }
        let error = "binary".parse::<Encoding>().unwrap_err().to_string();
        assert!(error.contains("\"binary\"") && error.contains("offset-binary"), "{error}");
    }
}
