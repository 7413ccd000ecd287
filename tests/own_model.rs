//! `qtaml evaluate` and `qtaml plan` on models as users have them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

fn fixture(name: &str) -> PathBuf {
    root().join("tests/onnx").join(name)
}

fn qtaml(words: &[&str]) -> Command {
    let mut command = Command::cargo_bin("qtaml").expect("it is built");
    command.args(words);
    command
}

fn on_digits(words: &[&str]) -> Command {
    let mut command = qtaml(&words[..1]);
    command.arg(example("digits.onnx")).arg("--data").arg(example("digits.npz")).args(&words[1..]);
    command
}

fn json(command: &mut Command) -> Value {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn refused(command: &mut Command, code: i32, named: &[&str]) {
    let output = command.output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for named in named {
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn more_protection_keeps_more_and_no_faults_keep_all() {
    let labels = example("digits.labels.npy");
    let report = json(
        on_digits(&["evaluate", "--p", "0,0.1", "--ways", "raw,top:2,top:8", "--trials", "4"])
            .arg("--labels")
            .arg(labels)
            .arg("--json"),
    );
    let rows = report["rows"].as_array().unwrap();
    let mean = |row: &Value| row["metric"]["mean"]["value"].as_f64().unwrap();
    assert_eq!(rows.len(), 6);
    // Without faults all devices are as the stored model is.
    assert!(rows[..3].iter().all(|row| mean(row) == row["without_faults"].as_f64().unwrap()));
    assert!(mean(&rows[3]) < mean(&rows[4]) && mean(&rows[4]) < mean(&rows[5]));
    assert_eq!(mean(&rows[5]), mean(&rows[2]));
    assert_eq!(
        (report["metric"]["name"].as_str(), report["synthetic_data"].as_bool()),
        (Some("accuracy"), Some(false))
    );
}

#[test]
fn a_plan_is_made_kept_and_tried() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("plan");
    let plan = || {
        let mut command =
            on_digits(&["plan", "--p", "0.1", "--count", "protected", "--trials", "4"]);
        command.arg("-o").arg(&out).arg("--json");
        json(&mut command)
    };
    let first = plan();
    for name in ["plan.json", "report.html", "results.json", "frontier.csv", "frontier.svg"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("the plan needs") && page.contains("<svg"));
    // What was kept is found again, and gives the same plan.
    let kept = std::fs::read_dir(out.join("jobs")).unwrap().count();
    assert_eq!(plan()["plan"], first["plan"]);
    assert_eq!(std::fs::read_dir(out.join("jobs")).unwrap().count(), kept);

    let mut tried =
        on_digits(&["evaluate", "--p", "0.1", "--ways", "raw", "--trials", "4", "--json"]);
    let report = json(tried.arg("--plan").arg(out.join("plan.json")));
    let means: Vec<f64> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["metric"]["mean"]["value"].as_f64().unwrap())
        .collect();
    assert!(means[1] > means[0], "{means:?}");

    let mut other = qtaml(&["evaluate"]);
    other.arg(fixture("conv_bn.onnx")).args(["--data", "synthetic:8", "--p", "0.1", "--plan"]);
    refused(other.arg(out.join("plan.json")), 1, &["plan.json", "is for a model with SHA-256"]);
}

#[test]
fn random_inputs_are_called_so() {
    let mut command = qtaml(&["evaluate"]);
    command.arg(fixture("conv_bn.onnx")).args([
        "--data",
        "synthetic:8",
        "--p",
        "0.01",
        "--trials",
        "2",
    ]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("random: no real data"), "{text}");
}

#[test]
fn what_does_not_fit_is_named_with_what_does() {
    let missing = example("digits.onnx");
    refused(qtaml(&["evaluate", "--p", "0.1"]).arg(&missing), 2, &["--data"]);
    refused(&mut on_digits(&["evaluate"]), 2, &["how often do bits flip"]);
    refused(&mut on_digits(&["plan", "--p", "0.1,0.2"]), 2, &["several flip probabilities"]);
    refused(
        &mut on_digits(&["plan", "--p", "0.1", "--keep", "1.5"]),
        2,
        &["no share above 0 and up to 1"],
    );
    refused(
        &mut on_digits(&["evaluate", "--p", "0.1", "--ways", "top:9"]),
        2,
        &["\"top:9\" is no way"],
    );
    refused(
        &mut on_digits(&["evaluate", "--p", "0.1", "--metric", "accuracy"]),
        2,
        &["needs --labels"],
    );
    refused(
        &mut on_digits(&["evaluate", "--p", "0.1", "--output", "logit"]),
        1,
        &["no output \"logit\"", "logits"],
    );
    let few = &mut qtaml(&["plan", "--p", "0.1", "--data", "synthetic:4"]);
    refused(few.arg(&missing), 2, &["4 samples are too few"]);

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let labels = file("labels.txt", b"1\n2\n");
    refused(
        on_digits(&["evaluate", "--p", "0.1"]).arg("--labels").arg(labels),
        2,
        &["2 labels for 359 samples"],
    );
    let words = file("labels.txt", b"one\n");
    refused(
        on_digits(&["evaluate", "--p", "0.1"]).arg("--labels").arg(words),
        1,
        &["labels.txt", "line 1"],
    );
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 8, 9), }\n";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend([0; 4 * 2 * 72]);
    let shape = file("x.npy", &npy);
    let on = |data: &Path| {
        let mut command = qtaml(&["evaluate", "--p", "0.1"]);
        command.arg(example("digits.onnx")).arg("--data").arg(data);
        command
    };
    refused(&mut on(&shape), 1, &["input \"image\" has shape [1, 1, 8, 9]", "[samples, 1, 8, 8]"]);
    refused(&mut on(&file("x.npy", &npy[..200])), 1, &["x.npy", "bytes, and the file has"]);
    refused(&mut on(&file("x.npz", b"hello")), 1, &["no .npy or .npz file"]);
    refused(&mut on(&folder.path().join("none.npz")), 1, &["none.npz"]);
    refused(
        &mut on(&fixture("embedding_tied.npz")),
        1,
        &["the model has no input", "\"image\" of floats"],
    );

    let of = |model: &Path| {
        let mut command = qtaml(&["evaluate", "--p", "0.1", "--data", "synthetic:4"]);
        command.arg(model);
        command
    };
    refused(&mut of(&fixture("no_weights.onnx")), 1, &["weight"]);
    refused(&mut of(&fixture("qlinear_conv.onnx")), 1, &["QLinearConv"]);
    refused(
        &mut of(&file("m.onnx", b"version https://git-lfs.github.com/spec/v1\n")),
        1,
        &["git-lfs"],
    );
    refused(&mut of(&folder.path().join("none.onnx")), 1, &["none.onnx"]);
}

/// Twenty images of eight by eight, in the folder of each class, and as an array; their values are those of
/// an image over 255, less a half, over a quarter.
fn images(folder: &Path) -> (PathBuf, PathBuf) {
    let (images, mut values) = (folder.join("images"), Vec::new());
    for number in 0..20_usize {
        let class = images.join(format!("class-{}", number / 2));
        std::fs::create_dir_all(&class).unwrap();
        let pixels: Vec<u8> = (0..64).map(|at| (at * (number + 3) * 11) as u8).collect();
        let file = std::fs::File::create(class.join(format!("{number}.png"))).unwrap();
        let mut encoder = png::Encoder::new(file, 8, 8);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        values.extend(pixels);
    }
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 1, 8, 8), }\n";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    for pixel in values {
        let light = f64::from(f32::from(pixel) / 255.0);
        npy.extend((((light - 0.5) / 0.25) as f32).to_le_bytes());
    }
    let array = folder.join("images.npy");
    std::fs::write(&array, npy).unwrap();
    let labels: Vec<String> = (0..20).map(|number| (number / 2).to_string()).collect();
    std::fs::write(folder.join("labels.txt"), labels.join("\n")).unwrap();
    (images, array)
}

/// A folder of images is the array that it stands for, and its classes are the labels.
#[test]
fn a_folder_of_images_is_as_its_array() {
    let folder = tempfile::tempdir().unwrap();
    let (images, array) = images(folder.path());
    let run = |data: &Path, words: &[&str]| {
        let mut command = qtaml(&["evaluate", "--p", "0.05", "--ways", "raw", "--trials", "3"]);
        command.arg(example("digits.onnx")).arg("--data").arg(data).args(words).arg("--json");
        command
    };
    let normalised = ["--mean", "0.5", "--std", "0.25"];
    let labels = folder.path().join("labels.txt");
    let of_folder = json(&mut run(&images, &normalised));
    let of_array = json(run(&array, &[]).arg("--labels").arg(&labels));
    assert_eq!(of_folder["rows"], of_array["rows"]);
    assert_eq!(
        (&of_folder["metric"]["name"], &of_folder["clean"]),
        (&"accuracy".into(), &of_array["clean"])
    );
    let agreement = json(run(&images, &normalised).args(["--metric", "agreement"]));
    assert_eq!(agreement["rows"], json(&mut run(&array, &[]))["rows"]);
    // Other pixels, other outputs.
    assert_ne!(agreement["rows"], json(run(&images, &[]).args(["--metric", "agreement"]))["rows"]);

    refused(&mut run(&array, &["--size", "8x8"]), 2, &["--size is for a folder of images"]);
    refused(&mut run(&images, &["--size", "8x9"]), 2, &["--size 8x9 does not fit input"]);
    refused(&mut run(&images, &["--std", "0"]), 2, &["0.0 is not above 0"]);
    refused(&mut run(&images, &["--layout", "hwc"]), 2, &["nchw or nhwc is needed"]);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    refused(&mut run(&empty, &[]), 1, &["there is no image in", "empty"]);
    std::fs::remove_dir_all(images.join("class-9")).unwrap();
    refused(&mut run(&images, &[]), 2, &["there are 9 folders of images", "10 classes"]);
    json(run(&images, &[]).args(["--metric", "agreement"]));
    std::fs::write(images.join("class-0/notes.txt"), "none").unwrap();
    refused(&mut run(&images, &[]), 1, &["notes.txt", "no PNG and no JPEG"]);
}
