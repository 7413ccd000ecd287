//! What a listing has and lacks, told by its identifiers alone.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

/// The identifiers of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing<'a> {
    /// Imported, or given by the language.
    given: BTreeSet<&'a str>,
    defined: BTreeSet<&'a str>,
    used: BTreeSet<&'a str>,
    called: BTreeSet<&'a str>,
}

impl<'a> Listing<'a> {
    /// From lines of a verb and identifiers; lines of `#` say what they are.
    pub(super) fn parse(text: &'a str) -> Result<Self> {
        let mut listing = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let names = match words.next() {
                None => continue,
                Some("with") => &mut listing.given,
                Some("defines") => &mut listing.defined,
                Some("uses") => &mut listing.used,
                Some("calls") => &mut listing.called,
                Some(verb) => bail!("{verb:?} is no verb of a listing: with, defines, uses, calls"),
            };
            names.extend(words);
        }
        Ok(listing)
    }

    /// Names that are used and neither imported nor defined.
    pub(super) fn undefined(&self) -> Vec<&'a str> {
        let names = self.used.iter().chain(&self.called).copied();
        let names: BTreeSet<&str> = names.filter(|name| !self.knows(name)).collect();
        names.into_iter().collect()
    }

    /// Whether what an identifier begins with is imported or defined.
    fn knows(&self, name: &str) -> bool {
        let root = name.split('.').next().unwrap_or(name);
        self.given.contains(root) || self.defined.contains(root)
    }

    /// The identifier by which a piece is there.
    pub(super) fn has(&self, piece: &Piece) -> Option<&'a str> {
        let is_it = |name: &str| match piece.by {
            By::Name(known) => known.contains(&name),
            By::Word(words) => words.iter().any(|word| name.to_lowercase().contains(word)),
            By::Call(function) => name == function && self.called.contains(name),
        };
        let mut names = self.defined.iter().chain(&self.used).copied();
        names.find(|name| self.knows(name) && is_it(name))
    }
}

/// Something without which Table 1 cannot be had.
pub(super) struct Piece {
    pub(super) what: &'static str,
    by: By,
}

/// How it would be seen.
enum By {
    /// By one of these identifiers.
    Name(&'static [&'static str]),
    /// By one of these words in any identifier, in lower case.
    Word(&'static [&'static str]),
    /// By a call of a function of the listing.
    Call(&'static str),
}

/// What an experiment that gives Table 1 needs. The identifiers of PyTorch, `NumPy` and scikit-learn that may supply
/// it are listed generously: a piece is missing only if none of them is there.
pub(super) const NEEDED: [Piece; 12] = [
    Piece { what: "a network", by: By::Name(&["nn.Linear", "F.linear"]) },
    Piece { what: "noise on weights and bias", by: By::Name(&["torch.randn_like", "torch.randn"]) },
    Piece { what: "an optimizer", by: By::Name(&["optim.Adam", "torch.optim.Adam"]) },
    Piece { what: "a backward pass", by: By::Name(&["loss.backward"]) },
    Piece { what: "a number of epochs", by: By::Name(&["epochs"]) },
    Piece { what: "a criterion", by: By::Word(&["criterion", "mse"]) },
    Piece {
        what: "the data: samples and targets",
        by: By::Name(&[
            "torch.randn",
            "torch.rand",
            "torch.tensor",
            "torch.load",
            "make_regression",
            "np.random.randn",
            "np.random.normal",
            "TensorDataset",
            "DataLoader",
        ]),
    },
    Piece {
        what: "the baseline",
        by: By::Word(&["baseline", "standard", "train_qat", "empirical", "plain"]),
    },
    Piece { what: "a quantizer", by: By::Word(&["quant", "round", "fake_", "int8", "int4"]) },
    Piece { what: "an evaluation", by: By::Word(&["eval", "no_grad", "test", "validat", "drop"]) },
    Piece { what: "a seed", by: By::Word(&["seed", "generator"]) },
    Piece { what: "a call of the training", by: By::Call("train_t0_qat") },
];

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = include_str!("listing.txt");

    fn missing(text: &str) -> Vec<&'static str> {
        let listing = Listing::parse(text).unwrap();
        NEEDED.iter().filter(|piece| listing.has(piece).is_none()).map(|piece| piece.what).collect()
    }

    /// The same test finds nothing to blame in a listing that has everything.
    #[test]
    fn a_whole_experiment_lacks_nothing() {
        let rest = "with print\ndefines criterion train_baseline quantize evaluate\n\
                    uses torch.manual_seed torch.randn print\ncalls train_t0_qat train_baseline\n";
        let whole = [PUBLISHED, rest].concat();
        assert_eq!(missing(&whole), [""; 0]);
        assert_eq!(Listing::parse(&whole).unwrap().undefined(), [""; 0]);
        let unseeded = whole.replace("torch.manual_seed", "");
        assert_eq!(missing(&unseeded), ["a seed"]);
    }

    #[test]
    fn what_is_not_imported_is_not_there() {
        let text = "with nn\ndefines model\nuses nn.Linear optim.Adam model.fc criterion\n";
        let listing = Listing::parse(text).unwrap();
        assert_eq!(listing.undefined(), ["criterion", "optim.Adam"]);
        assert_eq!(listing.has(&NEEDED[0]), Some("nn.Linear"));
        assert!(listing.has(&NEEDED[2]).is_none() && listing.has(&NEEDED[5]).is_none());
        assert!(Listing::parse("lacks x").is_err());
    }
}
