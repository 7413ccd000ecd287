//! The examples of the documentation run, and say what they should.
#![cfg(feature = "flex")]

#[path = "../crates/qtaml/examples/own_module.rs"]
mod own_module;

#[test]
fn a_module_of_ones_own_is_planned_and_read() {
    own_module::main().expect("it trains, plans, writes a plan, reads it and evaluates");
}
