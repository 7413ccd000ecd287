//! What the published listing has and lacks.

use anyhow::Result;
use serde::Serialize;

use super::listing::{Listing, NEEDED};

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// By piece, the identifier by which it is there.
    pub(super) pieces: Vec<(&'static str, Option<&'static str>)>,
    /// Names that are used and never defined.
    pub(super) undefined: Vec<&'static str>,
}

impl Measured {
    /// The pieces without an identifier.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let missing = self.pieces.iter().filter(|(_, by)| by.is_none());
        missing.map(|(what, _)| *what).collect()
    }
}

pub(super) fn measure() -> Result<Measured> {
    let listing = Listing::parse(include_str!("listing.txt"))?;
    let pieces = NEEDED.iter().map(|piece| (piece.what, listing.has(piece))).collect();
    Ok(Measured { pieces, undefined: listing.undefined() })
}
