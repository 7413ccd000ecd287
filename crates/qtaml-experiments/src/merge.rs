//! `reproduce merge`: the finished work of several folders in one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use qtaml::deploy::job::{Build, JobStore};

use crate::args::MergeArgs;
use crate::reproduce::{JOBS, WEIGHTS};

/// Copies finished units and trained networks of all folders.
///
/// # Errors
///
/// A folder without finished work, a file that is damaged or cannot be copied, or two results of one
/// unit, or two networks of one training, that differ.
pub(crate) fn run(args: &MergeArgs) -> Result<()> {
    // No result is looked for: the build does not matter.
    let jobs = JobStore::open(&args.out.join(JOBS), Build::new("", ""))?;
    let [mut units, mut networks] = [0, 0];
    for folder in &args.folders {
        ensure!(folder.join(JOBS).is_dir(), "{} holds no finished work", folder.display());
        units += jobs.merge_from(&folder.join(JOBS))?.new;
        networks += merge_weights(&folder.join(WEIGHTS), &args.out.join(WEIGHTS))?;
    }
    println!(
        "{units} finished parts and {networks} trained networks were new in {}; --resume goes on with them",
        args.out.display()
    );
    Ok(())
}

/// Copies the trained networks that are not there, and counts them.
fn merge_weights(from: &Path, to: &Path) -> Result<usize> {
    if !from.is_dir() {
        return Ok(0);
    }
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut new = 0;
    for theirs in files(from).with_context(|| format!("cannot read {}", from.display()))? {
        // Only the networks: a training under way is a folder.
        let Some(name) =
            theirs.file_name().filter(|_| theirs.extension() == Some("safetensors".as_ref()))
        else {
            continue;
        };
        let ours = to.join(name);
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let bytes = read(&theirs)?;
        if !ours.exists() {
            qtaml::files::write(&ours, &bytes)?;
            new += 1;
        } else if read(&ours)? != bytes {
            bail!(
                "{} and {} are of one training and hold different weights",
                ours.display(),
                theirs.display()
            );
        }
    }
    Ok(new)
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_copied_once_and_must_agree() -> Result<()> {
        let [one, two] = [tempfile::tempdir()?, tempfile::tempdir()?];
        let (one, two) = (one.path().join("w"), two.path().join("w"));
        assert_eq!(merge_weights(&one, &two)?, 0, "a part may have trained nothing");
        fs::create_dir_all(one.join("lenet-1.unfinished"))?;
        fs::write(one.join("lenet-1.safetensors"), "1")?;
        assert_eq!([merge_weights(&one, &two)?, merge_weights(&one, &two)?], [1, 0]);
        assert_eq!(files(&two)?, [two.join("lenet-1.safetensors")]);
        fs::write(two.join("lenet-1.safetensors"), "2")?;
        let error = merge_weights(&one, &two).err().map(|e| e.to_string()).unwrap_or_default();
        for folder in [&one, &two] {
            let path = folder.join("lenet-1.safetensors");
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
        }
        Ok(())
    }

    #[test]
    fn a_folder_without_finished_work_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let [empty, out] = ["empty", "out"].map(|name| folder.path().join(name));
        let error = run(&MergeArgs { folders: vec![empty.clone()], out });
        let error = error.err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(error, format!("{} holds no finished work", empty.display()));
        Ok(())
    }
}
