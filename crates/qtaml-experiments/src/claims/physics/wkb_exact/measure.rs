//! Barriers by WKB, by Kemble's form and exactly.

use anyhow::Result;
use qtaml::physics::transfer_matrix::{Electrodes, transmission};
use qtaml::physics::{Barrier, kemble_transmission, wkb_exponent, wkb_transmission};
use rayon::prelude::*;
use serde::Serialize;

use super::{FIELDS_V_PER_NM, KINETIC_EV, SLOW_EV, THICKNESSES_NM};

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) grid: Vec<Case>,
    /// One barrier of the grid and electrons slower than all of it, where WKB is off by more.
    pub(super) slow: Vec<Case>,
    /// By oxide thickness in nm, without a field.
    pub(super) by_thickness: Vec<(f64, Case)>,
    /// By electron energy in eV, 1.5 nm without a field.
    pub(super) by_energy: Vec<(f64, Case)>,
}

/// Measures the claim.
pub(super) fn measure() -> Result<Measured> {
    let along = |x: Vec<f64>, case: fn(f64) -> Result<Case>| -> Result<Vec<(f64, Case)>> {
        x.into_par_iter().map(|x| Ok((x, case(x)?))).collect()
    };
    Ok(Measured {
        grid: grid()?,
        slow: SLOW_EV
            .into_iter()
            .map(|kinetic| Case::new(2.0, 0.0, kinetic, 0.0))
            .collect::<Result<_>>()?,
        by_thickness: along(steps(0.05, 3.0, 59), |d| Case::new(d, 0.0, 1.0, 0.0))?,
        by_energy: along(steps(0.0, 5.0, 100), |e| Case::new(1.5, 0.0, 1.0, e))?,
    })
}

/// One barrier, and what it lets through by each account.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Case {
    pub(super) thickness_nm: f64,
    pub(super) field: f64,
    pub(super) kinetic_ev: f64,
    pub(super) exponent: f64,
    pub(super) wkb: f64,
    pub(super) kemble: f64,
    pub(super) exact: f64,
}

impl Case {
    fn new(thickness_nm: f64, field: f64, kinetic_ev: f64, energy_ev: f64) -> Result<Self> {
        let oxide = Barrier::sio2(thickness_nm)?;
        let barrier = oxide.under_field(field)?;
        // The electrodes have the oxide's mass, as in the textbook formula of the rectangle.
        let electrodes =
            Electrodes::alike(kinetic_ev, oxide.mass_ratio()).lowered(field * thickness_nm);
        Ok(Self {
            thickness_nm,
            field,
            kinetic_ev,
            exponent: wkb_exponent(&barrier, energy_ev)?,
            wkb: wkb_transmission(&barrier, energy_ev)?,
            kemble: kemble_transmission(&barrier, energy_ev)?,
            exact: transmission(&barrier, energy_ev, &electrodes)?,
        })
    }

    /// Exact over WKB.
    pub(super) fn prefactor(&self) -> f64 {
        self.exact / self.wkb
    }

    /// How far WKB is off, either way.
    pub(super) fn factor(&self) -> f64 {
        self.prefactor().max(self.prefactor().recip())
    }
}

fn grid() -> Result<Vec<Case>> {
    let cases: Vec<_> = THICKNESSES_NM
        .into_iter()
        .flat_map(|d| FIELDS_V_PER_NM.map(|field| (d, field)))
        .flat_map(|(d, field)| KINETIC_EV.map(|kinetic| (d, field, kinetic)))
        .collect();
    cases.into_par_iter().map(|(d, field, kinetic)| Case::new(d, field, kinetic, 0.0)).collect()
}

fn steps(from: f64, to: f64, n: u32) -> Vec<f64> {
    (0..=n).map(|i| from + (to - from) * f64::from(i) / f64::from(n)).collect()
}
