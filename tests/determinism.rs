//! The same seed gives the same codes and faults: for any number of threads and on every backend.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "flex")]

use qtaml::prelude::*;
use qtaml::train::{LeNet, Parameter, initialise, parameters};
use rayon::prelude::*;

const P: f64 = 0.05;

fn network(device: &Device) -> StoredNetwork<LeNet> {
    let model = initialise(LeNetConfig::digits().init(device), Seed(3)).unwrap();
    let memory = Memory::new(FlipProbability::symmetric(P).unwrap());
    StoredNetwork::store(&model, &memory).unwrap()
}

/// The weights read in 32 trials, and what they were.
fn faults(network: &StoredNetwork<LeNet>) -> Vec<Vec<Parameter>> {
    let none = network.alike(0);
    let read = |trial| parameters(&network.read(Seed(3), trial, &none).unwrap());
    (0..32).into_par_iter().map(read).collect()
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn one_thread_and_many_draw_the_same_faults() {
    let network = network(&device::open("flex").unwrap());
    let one = with_threads(1, || faults(&network));
    let many = with_threads(7, || faults(&network));
    assert_eq!(one, many);
    assert_ne!(one[0], one[1], "trials differ");
}

#[test]
fn chunks_injected_by_many_threads_are_the_whole() {
    let model = BitFlips::new(FlipProbability::symmetric(P).unwrap(), BitWidth::INT8).unwrap();
    let stream = FaultStream::new(Seed(3), 0, "weight");
    let stored: Vec<u8> = (0..100_000_u32).map(|i| (i * 31) as u8).collect();
    let whole = model.corrupted(&stored, &stream, ProtectionMap::NOTHING).unwrap();
    let mut chunked = stored;
    chunked.par_chunks_mut(977).enumerate().for_each(|(chunk, words)| {
        model.inject_slice(words, chunk as u64 * 977, &stream, ProtectionMap::NOTHING).unwrap();
    });
    assert_eq!(chunked, whole);
}

#[cfg(feature = "ndarray")]
#[test]
fn backends_store_the_same_codes_and_meet_the_same_faults() {
    let [flex, ndarray] = ["flex", "ndarray"].map(|name| network(&device::open(name).unwrap()));
    assert_eq!(faults(&flex), faults(&ndarray));
    let [flex, ndarray] = [&flex, &ndarray].map(|n| parameters(n.golden()));
    assert_eq!(flex, ndarray);
}

/// Computed once and written down: what is published must stay reproducible.
#[test]
fn the_seed_to_fault_chain_is_pinned() {
    let network = network(&device::open("flex").unwrap());
    let faults = &faults(&network)[0];
    let weights = network.units().iter().zip(faults.iter().filter(|p| p.is_weight()));
    let codes: Vec<i32> = weights
        .flat_map(|(unit, read)| {
            let step = unit.largest() as f32 / 127.0;
            // A linear layer is stored output by output: its first column.
            let stride = if read.shape.len() == 2 { read.shape[1] } else { 1 };
            let first = read.values.iter().step_by(stride).take(4);
            first.map(move |w| (w / step).round() as i32).collect::<Vec<_>>()
        })
        .collect();
    let pinned = [
        -119, 35, 56, 23, -54, 20, -54, 125, -26, -74, -104, 100, 112, 22, -29, 106, -119, -27, 90,
        -86,
    ];
    assert_eq!(codes, pinned);
}
