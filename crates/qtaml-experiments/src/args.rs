//! The command line of the experiment runner.
//!
//! It is a file of its own, on clap alone, so that `cargo xtask reproduce` can include it: help and
//! wrong usage then answer at once, before the long build of the experiments.

use std::fmt;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The networks: the only list of them. Hands the file and the name of each to a macro, after what is
/// in brackets.
macro_rules! for_networks {
    ($use:ident $($first:tt)*) => {
        $use! {
            [$($first)*]
            lenet LeNet,
            vgg Vgg,
            resnet ResNet,
            mobilenet MobileNet,
            transformer Transformer,
        }
    };
}
#[allow(unused_imports, reason = "the command line itself needs only the ids")]
pub(crate) use for_networks;

/// The ids of a claim that is made of each network.
macro_rules! ids {
    ([$claim:literal] $($module:ident $net:ident,)*) => {
        &[$(concat!($claim, ".", stringify!($module))),*]
    };
}

/// The experiments, by the id of their claim: what `--only` accepts.
pub(crate) fn claim_ids() -> Vec<&'static str> {
    let ids: [&[&'static str]; 13] = [
        &["physics.wkb_exact", "physics.decade", "qtaml.drift", "qtaml.variance", "qtaml.layer"],
        &["qtaml.gaussian", "ours.real_ecc"],
        for_networks!(ids "qtaml.tac"),
        &["qtaml.reading", "qtaml.width", "qtaml.mean_correction", "qtaml.rho", "qtaml.codesign"],
        for_networks!(ids "ours.tac"),
        for_networks!(ids "qtaml.score"),
        &["qtaml.score.heterogeneous"],
        for_networks!(ids "ours.bayes"),
        &["ours.opta"],
        for_networks!(ids "ours.codec"),
        &[
            "t0.code",
            "t0.precision_limit",
            "t0.low_bits",
            "t0.table1",
            "t0.drop_law",
            "t0.significance",
            "t0.noise_sweep",
        ],
        &["t0.vision.lenet", "t0.vision.resnet", "t0.vision.transformer"],
        &["t0.sota"],
    ];
    ids.concat()
}

const AFTER_HELP: &str = "\
Examples:
  cargo xtask reproduce                               everything, on the CPU
  cargo xtask reproduce --smoke                       does it all run? (minutes)
  cargo xtask reproduce --only qtaml.drift,t0.table1  two of the experiments
  cargo xtask reproduce --device cuda                 networks on an NVIDIA GPU
  cargo xtask reproduce --profile full                larger networks on Fashion-MNIST: hours
  cargo xtask reproduce --resume                      go on where an interrupted run stopped
  cargo xtask reproduce --shard 3/16 --out PART       the third of sixteen parts
  cargo xtask reproduce merge PART... --out ALL       the finished work of all parts;
  cargo xtask reproduce --resume --out ALL            then the report from it
  cargo xtask reproduce --decide --add-to docs/results --only t0.sota
                                                      more trainings than were published, until it is decided

Files, in the folder of --out:
  report.html    the report: one page with all figures, to open in a browser
  results.json   every claim with its measured value, 95 % interval and verdict
  *.csv          one per figure and table, raw trials included; times.csv says where the time went
  *.svg          the figures
  jobs/          finished work, one file each: kept for --resume
  weights/       trained networks

Time:
  The first build takes 10 to 15 minutes. After it the quick profile takes about half an
  hour on two CPU cores, and --smoke two to three minutes.

Exit codes:
  0    every experiment ran; the verdict `not reproduced` is a result, not a failure
  1    an experiment failed, or the build did
  2    wrong usage
  130  interrupted; finished parts are kept, go on with --resume";

/// What the experiment runner can be asked to do.
#[derive(Debug, Parser)]
#[command(name = "qtaml-experiments", version, about = "Runs the experiments behind the claims")]
pub(crate) enum RunnerCli {
    /// Run the experiments and write the report
    Reproduce(ReproduceArgs),
    /// Run the backend workload on one device and print one line of JSON
    #[command(hide = true)]
    Backend(BackendArgs),
}

/// Measure every claim of the project anew and write a report
///
/// Trains the networks, injects seeded bit faults, compares each claim with the value its source
/// states, and prints a closing table. The same seed gives the same faults on every machine, with
/// any number of threads.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct ReproduceArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ReproduceCommand>,

    /// Size of the experiments
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub(crate) profile: Profile,

    /// Only check that everything runs: few fault patterns and seeds, numbers are not results
    #[arg(long, conflicts_with = "profile")]
    pub(crate) smoke: bool,

    /// Add trainings until claims on networks of a kind are decided, up to 33; the full profile does so by itself
    #[arg(long, conflicts_with = "smoke")]
    pub(crate) decide: bool,

    /// Folder of the four Fashion-MNIST files, for the full profile; Debian's package
    /// dataset-fashion-mnist installs them here
    #[arg(long, value_name = "DIR", default_value = "/usr/share/datasets/fashion-mnist")]
    pub(crate) data_dir: PathBuf,

    /// Run only these experiments; repeat the flag or separate the ids with commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = PossibleValuesParser::new(claim_ids()))]
    pub(crate) only: Vec<String>,

    /// Where the networks run
    #[arg(long, value_enum, value_name = "NAME", default_value_t = DeviceName::Flex)]
    pub(crate) device: DeviceName,

    /// Seed of everything random: initial weights, batches and faults
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Keep what an interrupted run with the same flags has finished; what else is there, of other
    /// flags or another build, stays as well
    #[arg(long)]
    pub(crate) resume: bool,

    /// Take the trainings that `reproduce keep` wrote into this folder, and do only those that are missing. They count
    /// whatever code trained them, so some are done anew and must come out the same
    #[arg(long, value_name = "DIR")]
    pub(crate) add_to: Option<PathBuf>,

    /// Do only this part of the experiments, and write no report; finished work is always kept, so
    /// parts may share a folder. Give all parts the same other flags
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<[u32; 2]>,

    /// Folder for the report and the data; created if missing
    #[arg(long, value_name = "DIR", default_value = "target/reproduce")]
    pub(crate) out: PathBuf,

    /// CPU threads to use; changes the time, never the numbers [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Commit that the report names
    #[arg(long, value_name = "HASH", hide = true)]
    pub(crate) commit: Option<String>,

    /// Hash of the sources that finished work depends on [default: of the program itself]
    #[arg(long, value_name = "HASH", hide = true)]
    pub(crate) build: Option<String>,
}

/// What is done with finished work.
#[derive(Debug, Subcommand)]
pub(crate) enum ReproduceCommand {
    /// Copy the finished work of several folders into one; two results of the same work that differ
    /// are an error
    Merge(MergeArgs),
    /// Write the trainings of some runs as compact files, which --add-to takes
    Keep(KeepArgs),
}

/// Folders whose trainings are kept.
#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// Folders that runs wrote with --out
    #[arg(required = true, value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,

    /// Folder of the compact files; what is there already stays
    #[arg(long, value_name = "DIR", default_value = "docs/results")]
    pub(crate) into: PathBuf,
}

/// Folders of finished work.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Folders that runs wrote with --out
    #[arg(required = true, value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,

    /// Folder that all goes to; created if missing
    #[arg(long, value_name = "DIR", default_value = "target/reproduce")]
    pub(crate) out: PathBuf,
}

/// A part of several, `[3, 16]` for `3/16`.
fn shard(text: &str) -> Result<[u32; 2], String> {
    let number = |digits: &str| {
        Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok())
    };
    let parts = text.split_once('/').and_then(|(index, count)| {
        Some([number(index)?, number(count)?]).filter(|[index, count]| (1..=*count).contains(index))
    });
    parts.ok_or_else(|| "it must be I/N with I from 1 to N, such as 3/16".to_owned())
}

/// Measures one backend, in a process of its own: a driver that crashes takes only itself along.
#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    /// Device to measure
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) device: DeviceName,

    /// Print the measurement as one line of JSON on stdout, for a program to read
    #[arg(long)]
    pub(crate) json: bool,

    /// A smaller workload, for devices emulated in software
    #[arg(long)]
    pub(crate) tiny: bool,

    /// Compare the logits with those in this file
    #[arg(long, value_name = "FILE", conflicts_with = "write_reference")]
    pub(crate) reference: Option<PathBuf>,

    /// Write the logits to this file, for the other devices to compare with
    #[arg(long, value_name = "FILE")]
    pub(crate) write_reference: Option<PathBuf>,
}

/// How much work the experiments do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Embedded 8x8 digits: half an hour on two CPU cores
    Quick,
    /// Fashion-MNIST from --data-dir: hours on two CPU cores
    Full,
}

/// A device, under burn's own name of its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// CPU, burn's maintained backend
    Flex,
    /// CPU, on the ndarray crate: many times slower in training than flex
    Ndarray,
    /// GPU through WGSL shaders: Vulkan, Metal, DirectX 12
    Wgpu,
    /// GPU through SPIR-V shaders
    Vulkan,
    /// NVIDIA GPU; building it downloads an LLVM bundle
    Cuda,
}

impl DeviceName {
    /// The name as it stands on the command line; also the name of the cargo feature.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn reproduce(flags: &[&str]) -> Result<ReproduceArgs, clap::Error> {
        match RunnerCli::try_parse_from([&["runner", "reproduce"], flags].concat())? {
            RunnerCli::Reproduce(args) => Ok(args),
            RunnerCli::Backend(_) => unreachable!("`reproduce` was asked for"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        RunnerCli::command().debug_assert();
    }

    #[test]
    fn without_flags_it_is_the_quick_profile_on_flex_with_seed_42() {
        let args = reproduce(&[]).expect("no flag is required");
        assert_eq!(args.profile, Profile::Quick);
        assert_eq!(args.device, DeviceName::Flex);
        assert_eq!(args.seed, 42);
        assert_eq!(args.out, PathBuf::from("target/reproduce"));
        assert!(args.only.is_empty() && args.threads.is_none() && !args.smoke && !args.resume);
    }

    #[test]
    fn ids_may_be_repeated_and_separated_by_commas() {
        let flags = ["--only", "qtaml.drift,t0.table1", "--only", "physics.decade"];
        let args = reproduce(&flags).expect("all three exist");
        assert_eq!(args.only, ["qtaml.drift", "t0.table1", "physics.decade"]);
    }

    #[test]
    fn an_unknown_id_is_wrong_usage_and_names_the_known_ones() {
        let error = reproduce(&["--only", "qtaml.drfit"]).expect_err("a typing error");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::InvalidValue, 2));
        let message = error.to_string();
        assert!(claim_ids().iter().all(|id| message.contains(id)), "{message}");
    }

    #[test]
    fn parts_count_from_one() {
        assert_eq!(reproduce(&["--shard", "3/16"]).expect("it is one").shard, Some([3, 16]));
        for text in ["0/2", "3/2", "1", "1/", "-1/2", "+1/2", "a/b", "1/0", "1/99999999999"] {
            let error = reproduce(&["--shard", text]).expect_err(text);
            assert_eq!(error.exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn merging_takes_folders_and_no_flags_of_a_run() {
        let args = reproduce(&["merge", "a", "b", "--out", "c"]).expect("two folders");
        let Some(ReproduceCommand::Merge(MergeArgs { folders, out })) = args.command else {
            panic!("a merge")
        };
        assert_eq!((folders, out), (vec!["a".into(), "b".into()], "c".into()));
        assert_eq!(reproduce(&["merge"]).expect_err("no folder").exit_code(), 2);
        assert_eq!(reproduce(&["--smoke", "merge", "a"]).expect_err("a flag").exit_code(), 2);
    }

    #[test]
    fn what_does_not_exist_is_not_offered() {
        for flags in [["--profile", "huge"], ["--device", "tpu"], ["--threads", "0"]] {
            assert_eq!(reproduce(&flags).expect_err("not available").exit_code(), 2, "{flags:?}");
        }
    }

    #[test]
    fn the_long_help_teaches_examples_files_and_exit_codes() {
        let help = reproduce(&["--help"]).expect_err("help is an early exit").to_string();
        for part in ["Examples:", "report.html", "15 minutes", "130  interrupted", "[default: 42]"]
        {
            assert!(help.contains(part), "`{part}` is missing in:\n{help}");
        }
        assert!(!help.contains("--commit"), "hidden flags stay hidden");
    }

    #[test]
    fn devices_are_called_the_same_everywhere() {
        for device in DeviceName::value_variants() {
            let value = device.to_possible_value().expect("no device is hidden");
            assert_eq!(value.get_name(), device.as_str());
        }
    }

    #[test]
    fn a_backend_either_writes_the_reference_or_compares_with_it() {
        let run = |flags: &[&str]| {
            RunnerCli::try_parse_from([&["runner", "backend", "--device", "flex"], flags].concat())
        };
        assert!(run(&["--json", "--tiny", "--reference", "a.json"]).is_ok());
        let both = run(&["--reference", "a.json", "--write-reference", "b.json"]);
        assert_eq!(both.expect_err("one of the two").kind(), ErrorKind::ArgumentConflict);
    }
}
