//! JSON of numbers that may be infinite: null stands for what is not finite.
//!
//! A metric may be infinite, as the divergence of an output that is no number. No target is reached by
//! either.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// One number.
pub(super) mod number {
    use super::{Deserialize, Deserializer, Serialize, Serializer, finite};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(in super::super) fn serialize<S: Serializer>(
        number: &f64,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        finite(*number).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<f64, D::Error> {
        Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
    }
}

/// A list or an array of numbers.
pub(super) mod numbers {
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Serializer, finite};

    pub(in super::super) fn serialize<S: Serializer>(
        numbers: &impl AsRef<[f64]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.as_ref().iter().copied().map(finite))
    }

    pub(in super::super) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<Vec<f64>>,
    {
        let numbers: Vec<Option<f64>> = Vec::deserialize(from)?;
        let numbers: Vec<f64> = numbers.into_iter().map(|n| n.unwrap_or(f64::NAN)).collect();
        let count = numbers.len();
        T::try_from(numbers).map_err(|_| D::Error::custom(format!("{count} numbers do not fit")))
    }
}

/// A list of numbers, or none.
pub(super) mod maybe {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands out references")]
    pub(in super::super) fn serialize<S: Serializer>(
        numbers: &Option<Vec<f64>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let finite = |numbers: &Vec<f64>| -> Vec<Option<f64>> {
            numbers.iter().copied().map(super::finite).collect()
        };
        numbers.as_ref().map(finite).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<f64>>, D::Error> {
        let numbers: Option<Vec<Option<f64>>> = Option::deserialize(from)?;
        Ok(numbers.map(|numbers| numbers.into_iter().map(|n| n.unwrap_or(f64::NAN)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct All {
        #[serde(with = "number")]
        one: f64,
        #[serde(with = "numbers")]
        pair: [f64; 2],
        #[serde(with = "numbers")]
        list: Vec<f64>,
        #[serde(with = "maybe")]
        some: Option<Vec<f64>>,
        #[serde(with = "maybe")]
        none: Option<Vec<f64>>,
    }

    #[test]
    fn what_is_not_finite_is_null() {
        let infinite = f64::INFINITY;
        let (pair, list) = ([0.1, infinite], vec![infinite, 0.2, f64::NAN]);
        let all = All { one: infinite, pair, list, some: Some(vec![0.3, -infinite]), none: None };
        let json = serde_json::to_string(&all).unwrap();
        let expected = r#"{"one":null,"pair":[0.1,null],"list":[null,0.2,null],"some":[0.3,null],"none":null}"#;
        assert_eq!(json, expected);
        let back: All = serde_json::from_str(&json).unwrap();
        assert!(back.one.is_nan() && back.pair[0] == 0.1 && back.pair[1].is_nan());
        assert!(back.list.len() == 3 && back.list[1] == 0.2 && back.none.is_none());
        assert_eq!(back.some.unwrap()[0], 0.3);
        let short = json.replace("[0.1,null]", "[0.1]");
        let error = serde_json::from_str::<All>(&short).unwrap_err().to_string();
        assert!(error.starts_with("1 numbers do not fit"), "{error}");
    }
}
