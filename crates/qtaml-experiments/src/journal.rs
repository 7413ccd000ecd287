//! Finished units of work on disk, so that a killed run resumes where it stopped.
//!
//! One JSON object per line: first the fingerprint of what the work depends on, then one entry per
//! unit. Lines are only ever appended, so a kill can hurt no line but the last.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
struct Header {
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    value: Value,
}

/// How a journal was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nobody asked to resume.
    Fresh,
    /// There was nothing to resume.
    Missing,
    /// What was there belongs to other work and was discarded.
    OtherFingerprint(String),
    /// These many units need not be done again; a cut-off last line was dropped.
    Resumed {
        /// Finished units.
        entries: usize,
        /// Whether the last line was cut off.
        truncated: bool,
    },
}

/// A file of finished units of work.
pub struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    done: HashMap<String, Value>,
}

impl Journal {
    /// Opens the journal at `path`, creating its folder.
    ///
    /// Entries survive only with `resume` and the same `fingerprint`: name in it everything that
    /// the results depend on (profile, seed, device, version).
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or a complete line of it is not what was written.
    pub fn open(path: &Path, fingerprint: &str, resume: bool) -> Result<(Self, Opening)> {
        Self::load(path, fingerprint, resume)
            .with_context(|| format!("cannot open journal {}", path.display()))
    }

    fn load(path: &Path, fingerprint: &str, resume: bool) -> Result<(Self, Opening)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = if resume && path.exists() { fs::read(path)? } else { Vec::new() };
        // A line counts once its line feed is written.
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut lines = text[..complete].split_inclusive(|byte| *byte == b'\n').enumerate();
        let opening = match lines.next() {
            _ if !resume => Opening::Fresh,
            None => Opening::Missing,
            Some(line) => match parse::<Header>(line)?.fingerprint {
                found if found == fingerprint => {
                    let truncated = complete < text.len();
                    Opening::Resumed { entries: lines.clone().count(), truncated }
                }
                found => Opening::OtherFingerprint(found),
            },
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut done = HashMap::new();
        if matches!(opening, Opening::Resumed { .. }) {
            for line in lines {
                let Entry { key, value } = parse(line)?;
                done.insert(key, value);
            }
            file.set_len(complete as u64)?;
        } else {
            file.set_len(0)?;
            append(&mut file, &Header { fingerprint: fingerprint.into() })?;
        }
        Ok((Self { path: path.into(), state: Mutex::new(State { file, done }) }, opening))
    }

    /// The result stored under `key`, or else the one that `compute` returns, which is stored.
    ///
    /// Both come back through the stored form, so a resumed run sees exactly what the first saw.
    /// Threads may call this at once: nothing is locked while computing.
    ///
    /// # Errors
    ///
    /// `compute` fails, the file cannot be written, or the stored form does not read back, as with
    /// a number that is not finite.
    pub fn get_or_compute<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let stored = self.state().done.get(key).cloned();
        let value = match &stored {
            Some(value) => value.clone(),
            None => serde_json::to_value(compute()?)?,
        };
        let result = T::deserialize(&value).with_context(|| {
            format!("{key}: result does not read back from journal {}", self.path.display())
        })?;
        if stored.is_none() {
            let mut state = self.state();
            append(&mut state.file, &Entry { key: key.into(), value: value.clone() })
                .with_context(|| format!("cannot write {key} to {}", self.path.display()))?;
            state.done.insert(key.into(), value);
        }
        Ok(result)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves whole entries behind: the state stays good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse<T: DeserializeOwned>((index, line): (usize, &[u8])) -> Result<T> {
    serde_json::from_slice(line).with_context(|| format!("line {} is corrupt", index + 1))
}

/// One write per line, unbuffered: what a kill leaves is whole lines and at most one part of one.
fn append(file: &mut File, entry: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(file.write_all(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn resume(path: &Path) -> Result<(Journal, Opening)> {
        Journal::open(path, "f", true)
    }

    /// Three units; the last one with letters of several bytes.
    fn write_three(path: &Path) -> Result<()> {
        let (journal, _) = Journal::open(path, "f", false)?;
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "ξ → 3")] {
            journal.get_or_compute(key, || Ok(value.to_owned()))?;
        }
        Ok(())
    }

    #[test]
    fn a_finished_unit_is_not_computed_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("new/folder/journal.jsonl");
        assert_eq!(resume(&path)?.1, Opening::Missing);
        write_three(&path)?;
        let (journal, opening) = resume(&path)?;
        assert_eq!(opening, Opening::Resumed { entries: 3, truncated: false });
        assert_eq!(journal.get_or_compute::<String>("b", || bail!("computed"))?, "2");
        assert_eq!(journal.get_or_compute("d", || Ok(4))?, 4);
        assert_eq!(journal.get_or_compute::<i32>("d", || bail!("computed"))?, 4);
        Ok(())
    }

    #[test]
    fn floats_come_back_bit_by_bit() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("j");
        // Without the feature `float_roundtrip` of serde_json the first two come back one bit off.
        let values =
            [55.393_536_131_272_924, 19.844_004_278_856_286, -0.0, 5e-324, f64::MAX, 1.0 / 3.0];
        resume(&path)?.0.get_or_compute("k", || Ok(values))?;
        let back: [f64; 6] = resume(&path)?.0.get_or_compute("k", || bail!("computed"))?;
        assert_eq!(back.map(f64::to_bits), values.map(f64::to_bits));
        Ok(())
    }

    #[test]
    fn a_kill_at_any_byte_costs_the_last_unit_at_most() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("j");
        write_three(&path)?;
        let whole = fs::read(&path)?;
        let two = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        for length in two..whole.len() {
            fs::write(&path, &whole[..length])?;
            let (journal, opening) = resume(&path)?;
            assert_eq!(opening, Opening::Resumed { entries: 2, truncated: length > two });
            journal.get_or_compute("c", || Ok("ξ → 3".to_owned()))?;
            assert_eq!(fs::read(&path)?, whole, "repaired after a kill at byte {length}");
        }
        Ok(())
    }

    #[test]
    fn other_work_and_no_wish_to_resume_start_afresh() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("j");
        write_three(&path)?;
        let (journal, opening) = Journal::open(&path, "g", true)?;
        assert_eq!(opening, Opening::OtherFingerprint("f".into()));
        assert_eq!(journal.get_or_compute("a", || Ok(9))?, 9);
        assert_eq!(Journal::open(&path, "g", false)?.1, Opening::Fresh);
        let none_left = Opening::Resumed { entries: 0, truncated: false };
        assert_eq!(Journal::open(&path, "g", true)?.1, none_left);
        fs::write(&path, "{\"fingerp")?;
        assert_eq!(resume(&path)?.1, Opening::Missing, "killed while writing the first line");
        Ok(())
    }

    #[test]
    fn a_corrupt_line_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("j");
        write_three(&path)?;
        for line in 1..=4 {
            let text = fs::read_to_string(&path)?;
            let broken = text
                .lines()
                .enumerate()
                .map(|(i, l)| if i + 1 == line { "{]\n".to_owned() } else { format!("{l}\n") });
            let broken_path = folder.path().join("broken");
            fs::write(&broken_path, broken.collect::<String>())?;
            let error = resume(&broken_path).err().map(|error| format!("{error:#}"));
            let error = error.unwrap_or_default();
            assert!(error.contains(&format!("line {line} is corrupt")), "{error}");
            assert!(error.contains("broken"), "{error}");
        }
        Ok(())
    }

    #[test]
    fn a_result_that_would_not_read_back_is_refused_at_once() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("j");
        let (journal, _) = resume(&path)?;
        let error = journal.get_or_compute("k", || Ok(f64::NAN)).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("k: result does not read back"), "{error}");
        assert_eq!(resume(&path)?.1, Opening::Resumed { entries: 0, truncated: false });
        Ok(())
    }

    #[test]
    fn threads_may_share_a_journal() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("j");
        let (journal, _) = resume(&path)?;
        std::thread::scope(|scope| {
            for unit in 0..8 {
                let journal = &journal;
                scope.spawn(move || journal.get_or_compute(&unit.to_string(), || Ok(unit)));
            }
        });
        assert_eq!(resume(&path)?.1, Opening::Resumed { entries: 8, truncated: false });
        Ok(())
    }
}
