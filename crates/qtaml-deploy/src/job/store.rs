//! A folder of finished jobs, one file each.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::strict_value;
use super::{CanonicalError, Fingerprint, JobError, Recipe};

/// The layout of a job's file; it grows when a reader of the old one would fail.
const SCHEMA: u32 = 1;

/// Which code did the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Build {
    /// The version of the program, for people.
    pub version: String,
    /// The commit of its sources, for people: a commit that changes no code makes no other build.
    pub commit: String,
    /// What tells builds apart: a hash of all that can change a result.
    pub content: String,
}

impl Build {
    /// A build of an unknown commit.
    pub fn new(version: impl Into<String>, content: impl Into<String>) -> Self {
        let (version, content) = (version.into(), content.into());
        Self { version, commit: "unknown".into(), content }
    }

    /// The same of a known commit.
    #[must_use]
    pub fn with_commit(self, commit: impl Into<String>) -> Self {
        Self { commit: commit.into(), ..self }
    }
}

/// A file of a finished job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is named by.
    pub fingerprint: Fingerprint,
    /// Which code did the work.
    pub build: Build,
    /// What was done.
    pub recipe: Value,
    /// What came of it.
    pub result: Value,
}

/// A result, and where it is from.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done<T> {
    /// The result, as it reads back from its file.
    pub value: T,
    /// Where it is from.
    pub origin: Origin,
}

/// Where a result is from.
#[derive(Debug)]
#[non_exhaustive]
pub enum Origin {
    /// It was there.
    Kept,
    /// It was computed now.
    Computed,
    /// It was computed now, since its file was not as it was written: the error names it.
    Replaced(JobError),
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Merged {
    /// Files that were not there before.
    pub new: usize,
    /// Files that were there with the same result.
    pub same: usize,
}

/// The content of a file, in the order in which it is written.
#[derive(Serialize, Deserialize)]
struct Content {
    schema: u32,
    build: Build,
    recipe: Value,
    result: Value,
    /// The fingerprint of recipe and result.
    digest: Fingerprint,
}

/// A folder of finished jobs.
///
/// The file of a job is named `<fingerprint>.json`, by the [`Fingerprint`] of its recipe and of the
/// content of its build. It appears whole or not at all, so any number of processes may share a
/// folder. It holds a digest of recipe and result: a file that was damaged later is never taken for good.
#[derive(Debug, Clone)]
pub struct JobStore {
    folder: PathBuf,
    build: Build,
}

impl JobStore {
    /// The store in `folder`, which is created if it is missing, for results of this build.
    ///
    /// # Errors
    /// [`JobError::File`] if the folder cannot be created.
    pub fn open(folder: &Path, build: Build) -> Result<Self, JobError> {
        fs::create_dir_all(folder).map_err(|e| file_error("create", folder, e))?;
        Ok(Self { folder: folder.into(), build })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The build whose results are found.
    pub fn build(&self) -> &Build {
        &self.build
    }

    /// The fingerprint of a recipe with this build.
    ///
    /// # Errors
    /// [`JobError::Recipe`], for no recipe that exists.
    pub fn fingerprint(&self, recipe: &Recipe) -> Result<Fingerprint, JobError> {
        fingerprint(&self.build.content, recipe.description())
    }

    /// The file of a recipe's result with this build, whether it is there or not.
    ///
    /// # Errors
    /// As [`fingerprint`](Self::fingerprint).
    pub fn path(&self, recipe: &Recipe) -> Result<PathBuf, JobError> {
        Ok(self.folder.join(name(self.fingerprint(recipe)?)))
    }

    /// The kept result, if there is one.
    ///
    /// # Errors
    /// [`JobError::Damaged`] for a file that is not as it was written, [`JobError::ReadBack`] for a
    /// result of another type, [`JobError::File`] for a file that cannot be read.
    pub fn get<T: DeserializeOwned>(&self, recipe: &Recipe) -> Result<Option<T>, JobError> {
        match read(&self.path(recipe)?)? {
            Some(file) => read_back(recipe, &file.result).map(Some),
            None => Ok(None),
        }
    }

    /// Keeps a result, and returns it as it reads back. A file that was there is replaced.
    ///
    /// # Errors
    /// [`JobError::Result`] for a result without canonical form, as with a number that is not finite,
    /// [`JobError::ReadBack`] for one that does not read back, [`JobError::Write`] for a file that cannot
    /// be written. Then nothing is kept.
    pub fn put<T: Serialize + DeserializeOwned>(
        &self,
        recipe: &Recipe,
        result: &T,
    ) -> Result<T, JobError> {
        let refused = |source| JobError::Result { recipe: recipe.text().into(), source };
        let result = strict_value(result).map_err(refused)?;
        let value = read_back(recipe, &result)?;
        let digest = digest(recipe.description(), &result)?;
        let content = Content {
            schema: SCHEMA,
            build: self.build.clone(),
            recipe: recipe.description().clone(),
            result,
            digest,
        };
        let text = serde_json::to_vec(&content).map_err(CanonicalError::Json).map_err(refused)?;
        qtaml_files::write(&self.path(recipe)?, &[&text[..], b"\n"].concat())?;
        Ok(value)
    }

    /// The kept result, or else the one that `compute` returns, which is kept. A damaged file is
    /// computed anew, and [`Origin::Replaced`] names it.
    ///
    /// Threads and processes may call this at once: nothing is locked.
    ///
    /// # Errors
    /// What `compute` returns, or a [`JobError`] as of [`get`](Self::get) and [`put`](Self::put).
    pub fn get_or_compute<T, E>(
        &self,
        recipe: &Recipe,
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<Done<T>, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<JobError>,
    {
        let origin = match self.get(recipe) {
            Ok(Some(value)) => return Ok(Done { value, origin: Origin::Kept }),
            Ok(None) => Origin::Computed,
            Err(damaged @ JobError::Damaged { .. }) => Origin::Replaced(damaged),
            Err(error) => return Err(error.into()),
        };
        let value = self.put(recipe, &compute()?)?;
        Ok(Done { value, origin })
    }

    /// All files of finished jobs, of any build, sorted by fingerprint. A damaged one is an error in
    /// its place.
    ///
    /// # Errors
    /// [`JobError::File`] if the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Result<JobFile, JobError>>, JobError> {
        let files = paths(&self.folder)?.into_iter().filter_map(|path| read(&path).transpose());
        Ok(files.collect())
    }

    /// Removes all files of jobs, of any build, and what a killed process left of its file. Other
    /// files stay.
    ///
    /// # Errors
    /// [`JobError::File`] if the folder cannot be read, or a file not removed.
    pub fn clear(&self) -> Result<(), JobError> {
        for path in entries(&self.folder)? {
            if qtaml_files::is_temporary(&path) || fingerprint_of_name(&path).is_some() {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Takes in the finished jobs in another folder, of any build. Files that are there already must
    /// hold the same result; damaged ones of ours are replaced.
    ///
    /// # Errors
    /// [`JobError::Conflict`] for two results of one job, [`JobError::Damaged`] for a damaged file in
    /// the other folder, [`JobError::File`] for one that cannot be read, [`JobError::Write`] for one that
    /// cannot be written. What was taken in before stays.
    pub fn merge_from(&self, other: &Path) -> Result<Merged, JobError> {
        let mut merged = Merged::default();
        for path in paths(other)? {
            // Gone since it was listed.
            let Some(theirs) = read(&path)? else { continue };
            let own = self.folder.join(name(theirs.fingerprint));
            match read(&own) {
                Ok(Some(ours)) if ours.result == theirs.result => merged.same += 1,
                Ok(Some(ours)) => {
                    let fingerprint = theirs.fingerprint;
                    return Err(JobError::Conflict { ours: ours.path, theirs: path, fingerprint });
                }
                Ok(None) | Err(JobError::Damaged { .. }) => {
                    let bytes = fs::read(&path).map_err(|e| file_error("read", &path, e))?;
                    qtaml_files::write(&own, &bytes)?;
                    merged.new += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(merged)
    }
}

/// What names a file. The build counts with its content alone.
fn fingerprint(build: &str, recipe: &Value) -> Result<Fingerprint, JobError> {
    Fingerprint::of(&(SCHEMA, build, recipe)).map_err(JobError::Recipe)
}

fn digest(recipe: &Value, result: &Value) -> Result<Fingerprint, JobError> {
    Fingerprint::of(&(recipe, result)).map_err(JobError::Recipe)
}

fn name(fingerprint: Fingerprint) -> String {
    format!("{fingerprint}.json")
}

fn fingerprint_of_name(path: &Path) -> Option<Fingerprint> {
    path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()
}

fn file_error(action: &'static str, path: &Path, source: io::Error) -> JobError {
    JobError::File { action, path: path.into(), source }
}

/// Everything in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, JobError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut entries = list().map_err(|e| file_error("read", folder, e))?;
    entries.sort_unstable();
    Ok(entries)
}

/// The files of jobs in a folder.
fn paths(folder: &Path) -> Result<Vec<PathBuf>, JobError> {
    let mut paths = entries(folder)?;
    paths.retain(|path| fingerprint_of_name(path).is_some());
    Ok(paths)
}

/// Another process may have removed it first.
fn remove(path: &Path) -> Result<(), JobError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(file_error("remove", path, e)),
        _ => Ok(()),
    }
}

/// The file, if there is one and it is as it was written.
fn read(path: &Path) -> Result<Option<JobFile>, JobError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(file_error("read", path, e)),
    };
    let damaged = |problem: String| JobError::Damaged { path: path.into(), problem };
    // Layouts of the future may have other fields: the number is read on its own, and first.
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    match value.get("schema").and_then(Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) => return Err(damaged(format!("its schema is {schema}, not {SCHEMA}"))),
        None => return Err(damaged("it has no schema".into())),
    }
    let content: Content = serde_json::from_value(value).map_err(|e| damaged(e.to_string()))?;
    let Content { build, recipe, result, .. } = content;
    if digest(&recipe, &result)? != content.digest {
        return Err(damaged("its digest does not fit its content".into()));
    }
    let fingerprint = fingerprint(&build.content, &recipe)?;
    if fingerprint_of_name(path) != Some(fingerprint) {
        return Err(damaged(format!("its content belongs to {}", name(fingerprint))));
    }
    Ok(Some(JobFile { path: path.into(), fingerprint, build, recipe, result }))
}

fn read_back<T: DeserializeOwned>(recipe: &Recipe, result: &Value) -> Result<T, JobError> {
    T::deserialize(result)
        .map_err(|source| JobError::ReadBack { recipe: recipe.text().into(), source })
}

#[cfg(test)]
mod tests {
    use tempfile::{TempDir, tempdir};

    use super::*;

    fn store(folder: &TempDir) -> JobStore {
        JobStore::open(folder.path(), Build::new("0.1.0", "b")).unwrap()
    }

    fn recipe(n: u32) -> Recipe {
        Recipe::new(&("square", n)).unwrap()
    }

    /// The value, and whether it was computed.
    fn square(store: &JobStore, n: u32) -> (u32, bool) {
        let mut computed = false;
        let done = store.get_or_compute(&recipe(n), || {
            computed = true;
            Ok::<_, JobError>(n * n)
        });
        (done.unwrap().value, computed)
    }

    fn only_file(store: &JobStore) -> PathBuf {
        let [path] = &paths(store.folder()).unwrap()[..] else { panic!("there is one file") };
        path.clone()
    }

    #[test]
    fn a_job_is_done_once_and_its_file_says_what_it_is() {
        let folder = tempdir().unwrap();
        let build = Build::new("0.1.0", "b").with_commit("c");
        let store = JobStore::open(&folder.path().join("new/jobs"), build).unwrap();
        assert_eq!(square(&store, 3), (9, true));
        assert_eq!(square(&store, 3), (9, false));
        assert_eq!(store.get::<u32>(&recipe(4)).unwrap(), None);
        let path = store.path(&recipe(3)).unwrap();
        assert_eq!(only_file(&store), path);
        let text = fs::read_to_string(path).unwrap();
        let start = "{\"schema\":1,\"build\":{\"version\":\"0.1.0\",\"commit\":\"c\",\"content\":\"b\"},\
                     \"recipe\":[\"square\",3],\"result\":9,\"digest\":\"";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with("\"}\n"));
    }

    /// `printf '%s' '[1,"b",["square",3]]' | sha256sum`: whoever changes this loses everyone's results.
    #[test]
    fn the_name_of_a_file_is_pinned() {
        let folder = tempdir().unwrap();
        let fingerprint = store(&folder).fingerprint(&recipe(3)).unwrap();
        assert_eq!(
            fingerprint.to_string(),
            "8f6b2d4844ea8dec243b0d8d0405ca4dd0378b0e8d01d21ca8a225d5cd33dfdc"
        );
    }

    #[test]
    fn floats_come_back_bit_by_bit() {
        let folder = tempdir().unwrap();
        // Without the feature `float_roundtrip` of serde_json the first two come back one bit off.
        let values =
            [55.393_536_131_272_924, 19.844_004_278_856_286, -0.0, 5e-324, f64::MAX, 1.0 / 3.0];
        store(&folder).put(&recipe(0), &values).unwrap();
        let back: [f64; 6] = store(&folder).get(&recipe(0)).unwrap().unwrap();
        assert_eq!(back.map(f64::to_bits), values.map(f64::to_bits));
    }

    #[test]
    fn another_build_is_another_job_and_another_commit_is_not() {
        let folder = tempdir().unwrap();
        square(&store(&folder), 3);
        let other = |build| JobStore::open(folder.path(), build).unwrap();
        assert_eq!(square(&other(Build::new("0.1.0", "c")), 3), (9, true));
        assert_eq!(square(&other(Build::new("0.2.0", "b").with_commit("d")), 3), (9, false));
        assert_eq!(store(&folder).list().unwrap().len(), 2);
    }

    #[test]
    fn a_file_cut_off_or_changed_anywhere_is_named_and_computed_anew() {
        let folder = tempdir().unwrap();
        let store = store(&folder);
        store.put(&recipe(3), &"nine".to_owned()).unwrap();
        let path = only_file(&store);
        let whole = fs::read(&path).unwrap();
        // Without the line feed nothing is lost.
        let cut = (0..whole.len() - 1).map(|length| whole[..length].to_vec());
        let text = String::from_utf8(whole.clone()).unwrap();
        let changed =
            [("nine", "mine"), ("square", "sphere"), ("\"b\"", "\"c\""), ("a\":1", "a\":2")]
                .map(|(from, to)| text.replacen(from, to, 1).into_bytes());
        for bytes in cut.chain(changed) {
            fs::write(&path, &bytes).unwrap();
            let error = store.get::<String>(&recipe(3)).unwrap_err();
            assert!(matches!(&error, JobError::Damaged { path: p, .. } if *p == path), "{error}");
            assert!(store.list().unwrap()[0].is_err());
            let done = store.get_or_compute(&recipe(3), || Ok::<_, JobError>("nine".to_owned()));
            let done = done.unwrap();
            assert!(matches!(done.origin, Origin::Replaced(JobError::Damaged { .. })));
            assert_eq!((done.value.as_str(), fs::read(&path).unwrap()), ("nine", whole.clone()));
        }
    }

    #[test]
    fn a_file_under_another_name_is_not_taken() {
        let folder = tempdir().unwrap();
        let store = store(&folder);
        square(&store, 3);
        let other = store.path(&recipe(4)).unwrap();
        fs::rename(only_file(&store), &other).unwrap();
        let error = store.get::<u32>(&recipe(4)).unwrap_err().to_string();
        assert!(error.contains("its content belongs to "), "{error}");
    }

    #[test]
    fn a_result_that_would_not_read_back_is_refused_and_not_kept() {
        let folder = tempdir().unwrap();
        let store = store(&folder);
        assert!(matches!(store.put(&recipe(0), &f64::NAN), Err(JobError::Result { .. })));
        assert!(paths(store.folder()).unwrap().is_empty());
        store.put(&recipe(0), &1).unwrap();
        assert!(matches!(store.get::<String>(&recipe(0)), Err(JobError::ReadBack { .. })));
    }

    #[test]
    fn stores_merge_and_a_second_opinion_is_refused() {
        let [one, two, all] = [0; 3].map(|_| tempdir().unwrap());
        let [one, two, all] = [&one, &two, &all].map(store);
        for n in 0..4 {
            square(&one, n);
        }
        for n in 3..6 {
            square(&two, n);
        }
        fs::write(two.folder().join("note.json"), "of somebody else").unwrap();
        assert_eq!(all.merge_from(one.folder()).unwrap(), Merged { new: 4, same: 0 });
        assert_eq!(all.merge_from(two.folder()).unwrap(), Merged { new: 2, same: 1 });
        (0..6).for_each(|n| assert_eq!(square(&all, n), (n * n, false)));

        two.put(&recipe(3), &8).unwrap();
        let error = all.merge_from(two.folder()).unwrap_err().to_string();
        for store in [&all, &two] {
            let path = store.path(&recipe(3)).unwrap();
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
        }
        assert_eq!(square(&all, 3), (9, false), "ours stays");

        let path = all.path(&recipe(0)).unwrap();
        fs::write(&path, "{").unwrap();
        assert_eq!(all.merge_from(one.folder()).unwrap(), Merged { new: 1, same: 3 });
        fs::write(one.path(&recipe(1)).unwrap(), "{").unwrap();
        assert!(matches!(all.merge_from(one.folder()), Err(JobError::Damaged { .. })));
        let nowhere = all.folder().join("nowhere");
        assert!(matches!(all.merge_from(&nowhere), Err(JobError::File { .. })));
    }

    #[test]
    fn clearing_leaves_what_is_not_ours() {
        let folder = tempdir().unwrap();
        let store = store(&folder);
        square(&store, 3);
        fs::write(folder.path().join(".unfinished-abc"), "{").unwrap();
        fs::write(folder.path().join("note.json"), "").unwrap();
        store.clear().unwrap();
        assert_eq!(entries(folder.path()).unwrap(), [folder.path().join("note.json")]);
    }

    #[test]
    fn threads_and_stores_may_share_a_folder() {
        let folder = tempdir().unwrap();
        std::thread::scope(|scope| {
            for start in 0..8 {
                let store = store(&folder);
                scope.spawn(move || {
                    for n in 0..16 {
                        assert_eq!(square(&store, (start + n) % 16).0, ((start + n) % 16).pow(2));
                    }
                });
            }
        });
        let store = store(&folder);
        assert_eq!(store.list().unwrap().into_iter().flatten().count(), 16);
        assert_eq!(entries(folder.path()).unwrap().len(), 16, "nothing unfinished stays");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let below = folder.path().join("file/jobs");
        let error = JobStore::open(&below, Build::new("", "")).unwrap_err().to_string();
        assert_eq!(error, format!("cannot create {}", below.display()));
    }
}
