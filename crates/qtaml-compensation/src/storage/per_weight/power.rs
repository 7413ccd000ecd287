//! The power behind each weight of a tensor, and its exponents by row and column.

use std::sync::Arc;

use crate::StorageError;
use crate::storage::{GroupWeights, InputPower};

/// No weight counts with less than this share of the mean power: inputs that calibration never saw are
/// not free of errors.
const FLOOR: f64 = 1.0 / 256.0;

/// The power of what each weight is multiplied with, normalised to a mean of one.
#[derive(Debug, Clone)]
pub(super) struct Power {
    known: Known,
    floor: f64,
    mean: f64,
}

#[derive(Debug, Clone)]
enum Known {
    Nothing,
    Values(Arc<[f32]>),
    Exponents { rows: Vec<i8>, columns: Vec<i8>, length: usize },
}

impl Power {
    /// The power of the weights of a group, alike if nothing is known, or if there is none at all.
    pub(super) fn of_group(group: &GroupWeights) -> Result<Self, StorageError> {
        let length = group.weights().len() / group.channels();
        match group.input_power() {
            InputPower::Unknown => Ok(Self::alike()),
            InputPower::Values(values) => Self::measured(values),
            InputPower::Exponents { rows, columns } => {
                let (rows, columns) = (rows.clone(), columns.clone());
                let known = Known::Exponents { rows, columns, length };
                let power = Self { known, ..Self::alike() };
                let count = group.weights().len();
                let mean = (0..count).map(|at| power.of(at)).sum::<f64>() / count.max(1) as f64;
                Ok(Self { mean, ..power })
            }
        }
    }

    fn alike() -> Self {
        Self { known: Known::Nothing, floor: 0.0, mean: 1.0 }
    }

    fn measured(values: &Arc<[f32]>) -> Result<Self, StorageError> {
        if let Some(index) = values.iter().position(|power| !(0.0..f32::INFINITY).contains(power)) {
            return Err(StorageError::InputPower { index, value: values[index] });
        }
        let mean = |floor: f64| {
            let sum: f64 = values.iter().map(|&power| f64::from(power).max(floor)).sum();
            sum / values.len().max(1) as f64
        };
        let floor = FLOOR * mean(0.0);
        // Means of subnormal powers have no ratios worth the name.
        if floor < f64::from(f32::MIN_POSITIVE) * FLOOR {
            return Ok(Self::alike());
        }
        Ok(Self { known: Known::Values(values.clone()), floor, mean: mean(floor) })
    }

    /// That of one weight.
    pub(super) fn of(&self, index: usize) -> f64 {
        match &self.known {
            Known::Nothing => 1.0,
            Known::Values(values) => f64::from(values[index]).max(self.floor) / self.mean,
            Known::Exponents { rows, columns, length } => {
                let of = |all: &[i8], at: usize| all.get(at).copied().map_or(0, i32::from);
                let exponent = of(rows, index / length) + of(columns, index % length);
                2.0_f64.powi(exponent) / self.mean
            }
        }
    }

    /// The exponents of the powers of two nearest to the mean power of each row and of each column of a
    /// matrix with so many rows; none where all are 0.
    ///
    /// Where the power is a product of one number for the row and one for the column, so are these
    /// means. A single row leaves nothing to share a column with: it has neither.
    pub(super) fn exponents(&self, rows: usize) -> (Vec<i8>, Vec<i8>) {
        let values = match &self.known {
            Known::Values(values) if rows > 1 => values,
            Known::Exponents { rows, columns, .. } => return (rows.clone(), columns.clone()),
            _ => return (Vec::new(), Vec::new()),
        };
        let columns = values.len() / rows;
        let (mut by_row, mut by_column) = (vec![0.0; rows], vec![0.0; columns]);
        for (row, sum) in by_row.iter_mut().enumerate() {
            for (column, of_column) in by_column.iter_mut().enumerate() {
                let power = self.of(row * columns + column);
                *sum += power / columns as f64;
                *of_column += power / rows as f64;
            }
        }
        (rounded(&by_row), rounded(&by_column))
    }
}

fn rounded(means: &[f64]) -> Vec<i8> {
    let exponent = |mean: &f64| mean.log2().round().clamp(i8::MIN.into(), i8::MAX.into()) as i8;
    let exponents: Vec<i8> = means.iter().map(exponent).collect();
    if exponents.iter().all(|&exponent| exponent == 0) { Vec::new() } else { exponents }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(values: &[f32]) -> Power {
        Power::measured(&values.into()).unwrap()
    }

    #[test]
    fn products_of_rows_and_columns_come_apart() {
        let (rows, columns) = ([1.0_f32, 4.0, 0.25], [2.0_f32, 2.0, 0.125, 16.0]);
        let product = rows.iter().flat_map(|row| columns.map(|column| row * column));
        let values: Vec<f32> = product.collect();
        let power = power(&values);
        let mean: f64 = (0..12).map(|i| power.of(i)).sum::<f64>() / 12.0;
        assert!((mean - 1.0).abs() < 1e-12);
        let (by_row, by_column) = power.exponents(3);
        assert_eq!(by_row, [-1, 1, -3]);
        assert_eq!(by_column, [-1, -1, -5, 2]);
        // A product is as far from the power as two roundings, at most.
        for (i, _) in values.iter().enumerate() {
            let exponent = f64::from(by_row[i / 4]) + f64::from(by_column[i % 4]);
            assert!((power.of(i).log2() - exponent).abs() <= 1.0, "{i}");
        }
    }

    #[test]
    fn what_was_never_seen_counts_a_little() {
        let power = power(&[0.0, 1.0, 1.0, 2.0]);
        assert!((power.of(0) / power.of(1) - 1.0 / 256.0).abs() < 1e-9);
        assert_eq!(power.exponents(1), (vec![], vec![]));
        assert_eq!(power.exponents(4).0, [-8, 0, 0, 1]);
    }

    #[test]
    fn nothing_known_is_all_alike() {
        for power in [Power::alike(), power(&[0.0; 4]), power(&[3.0; 4])] {
            assert!((power.of(0) - 1.0).abs() < 1e-12);
            assert_eq!(power.exponents(2), (vec![], vec![]));
        }
        for value in [-1.0, f32::NAN, f32::INFINITY] {
            let error = Power::measured(&[1.0, value].into()).unwrap_err();
            assert!(error.to_string().starts_with("input power 1 is"), "{error}");
        }
    }
}
