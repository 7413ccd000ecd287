//! The same seed gives the same codes and faults: for any number of threads and on every backend.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "flex")]

use qtaml::deploy::{StoredGroup, Values};
use qtaml::prelude::*;
use qtaml::train::initialise;
use rayon::prelude::*;

const P: f64 = 0.05;

fn network(device: &Device) -> StoredModel {
    let model = initialise(LeNetConfig::digits().init(device), Seed(3)).unwrap();
    let images = Dataset::digits().unwrap().calibration.select(&[0]).unwrap();
    let runner = BurnRunner::classifier(&model, &images, device).unwrap();
    let memory = MemoryModel::new(FlipProbability::symmetric(P).unwrap());
    let storing = [Storing::new(memory, QuantizedSpec::default())];
    StoredModel::store(&runner, Granularity::Tensor, &storing).unwrap()
}

/// The weights read in 32 trials.
fn faults(network: &StoredModel) -> Vec<Values> {
    let none = network.uniform(0);
    let read = |trial| network.read(Seed(3), trial, &none).unwrap();
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
    assert_eq!(flex.golden(), ndarray.golden());
}

/// Computed once and written down: what is published must stay reproducible. The first four weights of
/// each tensor, row-major.
#[test]
fn the_seed_to_fault_chain_is_pinned() {
    let network = network(&device::open("flex").unwrap());
    let faults = &faults(&network)[0];
    let of_group = |stored: &StoredGroup| -> Vec<i32> {
        let step = stored.largest as f32 / 127.0;
        let read = &faults[&*stored.tensor];
        read[..4].iter().map(|w| (w / step).round() as i32).collect()
    };
    let codes: Vec<i32> = network.groups().iter().flat_map(of_group).collect();
    let pinned = [
        -119, 35, 56, 23, -54, 20, -54, 125, -26, 0, -25, -110, 112, 88, 79, 42, -119, -13, -36,
        124,
    ];
    assert_eq!(codes, pinned);
}
