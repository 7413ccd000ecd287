//! Method, figures and tables of WKB beside the exact transmission.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::KINETIC_EV;
use super::measure::{Case, Measured};
use crate::results::{Figure, Table};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let slow = measured
        .slow
        .iter()
        .map(|case| format!("{:.0} at {} meV", case.factor(), 1e3 * case.kinetic_ev));
    let mut method = [
        "The exact transmission comes from integrating the Schrödinger equation through the \
         barrier (fourth-order transfer matrices, refined until ten digits stand), WKB from the \
         integral of the decay constant between the turning points. The barrier is SiO2, 3.1 eV \
         above the electron and of 0.42 electron masses; the electrodes have the same mass.",
        "Use WKB for what depends on the exponent: a factor of four is worth 0.12 nm of oxide. Do \
         not use it where the exponent falls below about two: for oxide of a few tenths of a \
         nanometre, for electrons near or above the top (Kemble's form mends a smooth top, not an \
         abrupt one, which reflects electrons that pass over it), for slow electrons, whose \
         transmission vanishes with their energy while that of WKB does not, and for interference \
         in a strong field, where part of the barrier lies below the electron.",
    ]
    .map(String::from)
    .to_vec();
    method.push(format!(
        "Judged are electrons of {} to {} eV. The slower ones are shown: through 2 nm without a field WKB is off by \
         factors of {}.",
        KINETIC_EV[0],
        KINETIC_EV[KINETIC_EV.len() - 1],
        slow.collect::<Vec<_>>().join(", ")
    ));
    method
}

fn lines(cases: &[(f64, Case)]) -> Vec<Series> {
    let line = |name, of: fn(&Case) -> f64| {
        Series::new(name, Mark::Line, cases.iter().map(|(x, case)| (*x, of(case))))
    };
    vec![line("exact", |c| c.exact), line("WKB", |c| c.wkb), line("Kemble", |c| c.kemble)]
}

pub(super) fn thickness_figure(measured: &Measured) -> Figure {
    Figure {
        id: "physics.wkb_exact.thickness".into(),
        title: "Transmission of SiO2 without a field".into(),
        caption: "Electrons of 1 eV in the electrodes. The three lines are parallel for thick \
                  oxide: the same exponent, another prefactor."
            .into(),
        picture: Chart {
            x: Axis::linear("oxide thickness", "nm"),
            y: Axis::log10("transmission", ""),
            series: lines(&measured.by_thickness),
            rules: vec![],
        }
        .into(),
    }
}

pub(super) fn prefactor_figure(grid: &[Case]) -> Figure {
    let series = |kinetic: f64| {
        let of_energy = grid.iter().filter(|case| case.kinetic_ev == kinetic);
        let points = of_energy.map(|case| (case.exponent, case.prefactor()));
        Series::new(&format!("{kinetic} eV"), Mark::Points, points.collect::<Vec<_>>())
    };
    Figure {
        id: "physics.wkb_exact.prefactor".into(),
        title: "Exact over WKB, by how opaque the barrier is".into(),
        caption: "All thicknesses and fields of the grid; colours are the kinetic energy in the \
                  electrodes, which sets the prefactor of an abrupt barrier."
            .into(),
        picture: Chart {
            x: Axis::linear("WKB exponent", ""),
            y: Axis::log10("exact / WKB transmission", ""),
            series: KINETIC_EV.map(series).to_vec(),
            rules: vec![Rule::horizontal(1.0, "WKB")],
        }
        .into(),
    }
}

pub(super) fn energy_figure(measured: &Measured) -> Figure {
    Figure {
        id: "physics.wkb_exact.energy".into(),
        title: "Up to the top of 1.5 nm of SiO2, and over it".into(),
        caption: "WKB and Kemble know nothing of what an abrupt top reflects; the exact \
                  transmission oscillates above it."
            .into(),
        picture: Chart {
            x: Axis::linear("electron energy above the reference level", "eV"),
            y: Axis::log10("transmission", ""),
            series: lines(&measured.by_energy),
            rules: vec![Rule::vertical(3.1, "top")],
        }
        .into(),
    }
}

/// The whole grid for a program, and the part of it that a page has room for.
pub(super) fn tables(grid: &[Case]) -> Vec<Table> {
    let row = |case: &Case| {
        let numbers = [
            case.thickness_nm,
            case.field,
            case.kinetic_ev,
            case.exponent,
            case.wkb,
            case.kemble,
            case.exact,
            case.prefactor(),
        ];
        numbers.map(Into::into).to_vec()
    };
    let table = |id: &str, title: &str, cases: &mut dyn Iterator<Item = &Case>| Table {
        id: id.into(),
        title: title.into(),
        columns: [
            "oxide [nm]",
            "field [V/nm]",
            "kinetic energy [eV]",
            "exponent",
            "WKB",
            "Kemble",
            "exact",
            "exact / WKB",
        ]
        .map(String::from)
        .to_vec(),
        rows: cases.map(row).collect(),
        in_report: false,
    };
    let shown = |case: &&Case| {
        case.kinetic_ev == 1.0 && [0.0, 0.6, 1.5].contains(&case.field) && case.thickness_nm >= 0.6
    };
    let title = "WKB against exact, electrons of 1 eV";
    vec![
        Table {
            in_report: true,
            ..table("physics.wkb_exact.some", title, &mut grid.iter().filter(shown))
        },
        table("physics.wkb_exact.grid", "WKB against exact", &mut grid.iter()),
    ]
}
