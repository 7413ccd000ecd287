//! Readers of fault records, codebooks, codecs and plans against thousands of mutated files.
//!
//! Whatever the bytes are: no panic, an error with words, no more memory than [`MOST_KIB`], and what is
//! read can be written and read again. `QTAML_FUZZ_CASES=1000000 cargo test --test hostile_files` takes
//! longer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mutation;

use std::error::Error;

use mutation::{Mutator, cases, peak_kib};
use qtaml::compensation::codebook::{
    Codec, DesignConfig, GroupSquares, Sample, TensorCode, WordChannel,
};
use qtaml::compensation::{Codebook, Plan};
use qtaml::fault::{FaultEffect, FaultRecord, Seed, TensorRecorder};
use qtaml::physics::FlipProbability;
use qtaml::quant::{BitWidth, Granularity};

/// Files of a few KiB are read, and nothing in them may ask for more than this.
const MOST_KIB: u64 = 64 * 1024;

/// Bytes before header and body: magic, version and two lengths.
const FRONT: usize = 28;

/// Mutates the parts of framed files, and makes their lengths and checksums right again, so that what
/// is behind those is reached; one file in four is mutated as a whole.
fn framed(mutator: &mut Mutator, file: &[u8], other: &[u8]) -> Vec<u8> {
    let kind = mutator.below(4);
    if kind == 0 {
        return mutator.mutated(file, other);
    }
    let [mut header, mut body] = parts(file);
    let [other_header, other_body] = parts(other);
    if kind != 1 {
        header = mutator.mutated(&header, &other_header);
    }
    if kind != 2 {
        body = mutator.mutated(&body, &other_body);
    }
    let lengths = [&header, &body].map(|part| (part.len() as u64).to_le_bytes()).concat();
    let mut bytes = [&file[..12], &lengths, &header, &body].concat();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn parts(file: &[u8]) -> [Vec<u8>; 2] {
    let length = u64::from_le_bytes(file[12..20].try_into().unwrap()) as usize;
    let behind = &file[FRONT..file.len() - 4];
    [behind[..length].to_vec(), behind[length..].to_vec()]
}

/// What an error says, and its causes.
fn texts(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

/// Tries many mutations; `read` gives back what a file says once more, or an error.
fn fuzz<E: Error>(
    files: &[Vec<u8>],
    mutate: fn(&mut Mutator, &[u8], &[u8]) -> Vec<u8>,
    read: impl Fn(&[u8]) -> Result<(), E>,
) {
    assert!(files.iter().all(|file| read(file).is_ok()));
    let before = peak_kib();
    let mut mutator = Mutator::new(42);
    let count = cases(20_000);
    let mut accepted = 0;
    for _ in 0..count {
        let (file, other) = (mutator.pick(files), mutator.pick(files));
        let bytes = mutate(&mut mutator, file, other);
        match read(&bytes) {
            Ok(()) => accepted += 1,
            Err(error) => {
                let texts = texts(&error);
                assert!(texts.iter().all(|text| !text.is_empty()), "{error:?}");
                // Who prints an error with its causes tells each once.
                let is_told_twice = |pair: &[String]| pair[0].contains(&pair[1]);
                assert!(!texts.windows(2).any(is_told_twice), "{texts:?}");
            }
        }
    }
    assert!(0 < accepted && accepted < count, "{accepted} of {count} were accepted");
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < MOST_KIB, "{grown} KiB were taken");
}

#[test]
fn hostile_fault_records() {
    let record = |effect| {
        let mut record = FaultRecord::new(Seed(7), 3, "p = 0.5");
        for (name, words) in [("fc.weight", 40), ("conv", 1000)] {
            let mut tensor = TensorRecorder::new(BitWidth::INT4, effect);
            let stored: Vec<u8> = (0..words).map(|i| (i % 16) as u8).collect();
            let read: Vec<u8> = stored.iter().map(|word| word ^ u8::from(word % 7 == 1)).collect();
            tensor.append(&stored, &read).unwrap();
            record.insert(name, tensor.finish()).unwrap();
        }
        record.to_bytes()
    };
    fuzz(&[record(FaultEffect::Flip), record(FaultEffect::Stuck)], framed, |bytes| {
        let record = FaultRecord::from_bytes(bytes)?;
        assert_eq!(FaultRecord::from_bytes(&record.to_bytes()).as_ref(), Ok(&record));
        assert!((0.0..=1.0).contains(&record.bit_error_rate()));
        for (name, tensor) in record.tensors().filter(|(_, tensor)| tensor.words() < 10_000) {
            record.apply_anyway(name, &mut vec![0; tensor.words() as usize]).unwrap();
        }
        Ok::<_, qtaml::fault::RecordError>(())
    });
}

fn channel(width: u32) -> WordChannel {
    WordChannel::new(FlipProbability::asymmetric(0.1, 0.02).unwrap(), width).unwrap()
}

fn quick() -> DesignConfig {
    DesignConfig { switches: 0, iterations: 5, ..DesignConfig::default() }
}

#[test]
fn hostile_codebooks() {
    let code = |width| Codebook::design(&Sample::laplacian(), &channel(width), &quick()).to_bytes();
    fuzz(&[1, 3, 6].map(code), framed, |bytes| {
        let code = Codebook::from_bytes(bytes)?;
        assert_eq!(Codebook::from_bytes(&code.to_bytes()).as_ref(), Ok(&code));
        let words = code.encode(&[-1.0, 0.0, 1.0, f32::MAX, f32::MIN])?;
        assert!(code.decode(&words).iter().all(|weight| weight.is_finite()));
        Ok::<_, qtaml::compensation::CodebookError>(())
    });
}

#[test]
fn hostile_codecs() {
    let codec = |names: &[&str]| {
        let mut codec = Codec::new();
        for (name, width) in names.iter().zip(1..) {
            let sample = Sample::of(&[0.5, -1.0, 0.25]).unwrap();
            let tensor = TensorCode::design(&[2, 3], &sample, &channel(width), &quick());
            codec.insert(name, tensor.unwrap());
        }
        codec.to_bytes()
    };
    let scaled = |granularity| {
        let (shape, sample) = ([2, 3], Sample::of(&[0.5, -1.0, 0.25]).unwrap());
        let mut squares = GroupSquares::new(&shape, Some(0), granularity).unwrap();
        squares.add(&[0.5, -1.0, 0.25, 50.0, -100.0, 25.0]).unwrap();
        let scales = squares.into_scales().unwrap();
        let mut codec = Codec::new();
        let tensor = TensorCode::design_scaled(&shape, scales, &sample, &channel(2), &quick());
        codec.insert("s", tensor.unwrap());
        codec.to_bytes()
    };
    let mut files = vec![codec(&["a", "b.weight", "\u{e4} \""]), codec(&["b"]), codec(&[])];
    files.extend([Granularity::Channel, Granularity::Group(2)].map(scaled));
    fuzz(&files, framed, |bytes| {
        let codec = Codec::from_bytes(bytes)?;
        assert_eq!(Codec::from_bytes(&codec.to_bytes()).as_ref(), Ok(&codec));
        for (_, tensor) in codec.tensors() {
            assert!(tensor.stored_bytes() > 0 && tensor.weights() > 0);
            let eight = tensor.weights().min(8) as usize;
            let weights = [-1.0, 0.0, 1.0, f32::MAX, f32::MIN, 0.5, 0.25, 2.0];
            let words = tensor.encode(0, &weights[..eight])?;
            let read = tensor.decode(0, &words, eight).unwrap();
            assert!(read.iter().all(|weight| weight.is_finite()));
        }
        Ok::<_, qtaml::compensation::CodebookError>(())
    });
}

#[test]
fn hostile_plans() {
    let quantized = |decoder: &str, rest: &str| {
        format!(
            r#"{{"quantized":{{"format":{{"bits":8,"encoding":"twos-complement"}},"protected":[7,6],"ecc":"secded:64","scale":0.0078125,"decoder":"{decoder}",{rest}}}}}"#
        )
    };
    let counts: Vec<u64> = (0..256).collect();
    let storages = [
        quantized("raw", r#""prior":null"#),
        quantized("bayes", r#""prior":{"generalised-normal":{"width":30.0,"shape":1.5}}"#),
        quantized("bayes-gain", &format!(r#""prior":{{"histogram":{counts:?}}}"#)),
        quantized(
            "linear-mmse",
            r#""origin":{"minimum":-0.5},"prior":{"generalised-normal":{"width":30.0,"shape":1.5,"location":3.0}}"#,
        ),
        r#"{"codebook":{"width":5,"protected":1,"shape":"laplacian","sigma":0.25}}"#.into(),
        r#"{"block-coded":{"rate":3,"shape":"laplacian","sigma":0.5,"step":0.125,"outliers":[{"index":3,"weight":7.5}]}}"#
            .into(),
    ];
    let group = |(at, storage): (usize, &String)| {
        format!(
            r#"{{"name":"g{at}","weights":1000,"storage":{storage},"cost_bits":2000,"predicted_mse":0.0081,"predicted_output_noise":0.25}}"#
        )
    };
    let plan = |storages: &[String]| {
        let groups: Vec<_> = storages.iter().enumerate().map(group).collect();
        let groups = groups.join(",\n");
        format!(
            r#"{{"schema":3,"flips":{{"p01":0.1,"p10":0.1}},"accounting":"protected-bits","groups":[{groups}],"overhead":0.25,"predicted_output_noise":0.25,"lower_bound":0.24,"proven":false}}"#
        )
        .into_bytes()
    };
    let mut files: Vec<_> =
        storages.iter().map(|storage| plan(std::slice::from_ref(storage))).collect();
    let of_model = String::from_utf8(files[0].clone()).unwrap().replacen(
        '{',
        r#"{"model":{"name":"m","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"#,
        1,
    );
    files.push(of_model.into_bytes());
    for file in files.iter().chain([&plan(&storages)]) {
        let text = str::from_utf8(file).unwrap();
        assert!(Plan::from_json(text).is_ok(), "{text}: {:?}", Plan::from_json(text));
    }
    fuzz(&files, Mutator::mutated, |bytes| {
        let plan = Plan::from_json(&String::from_utf8_lossy(bytes))?;
        assert_eq!(Plan::from_json(&plan.to_json()).as_ref(), Ok(&plan));
        assert!((0.0..=1.0).contains(&plan.gap()), "{plan:?}");
        for group in &plan.groups {
            // What the predictions and the code make of each other is for the table to say.
            _ = plan.table(group);
        }
        Ok::<_, qtaml::compensation::PlanFileError>(())
    });
}
