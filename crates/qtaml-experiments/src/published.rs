//! Trainings of published runs as compact files, to which later runs add instead of starting over.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use qtaml::deploy::job::{Build, JobStore, Recipe};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::KeepArgs;
use crate::reproduce::JOBS;

/// What a published unit begins with: the training of one network by one method from one seed. Nothing else costs
/// enough to be kept.
const TAG: &str = "qat";

/// Trainings that differ in their seed alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Group {
    /// The commit whose code trained.
    commit: String,
    /// Profile, device and seed of the run.
    run: Value,
    /// What was trained and asked, but for the number of the training.
    unit: Vec<Value>,
    /// What came of it, by that number.
    results: BTreeMap<u64, Value>,
}

impl Group {
    /// The recipe of one of its trainings, as a run writes it.
    fn recipe(&self, number: u64) -> Result<Recipe> {
        let unit = [&self.unit[..], &[number.into()]].concat();
        Ok(Recipe::new(&serde_json::json!({ "run": self.run, "unit": unit }))?)
    }
}

/// Published trainings. They count whatever code trained them; so the first of each file that a run needs is done
/// anew, and must come out the same.
#[derive(Debug, Default)]
pub struct Published {
    /// By canonical recipe.
    trainings: HashMap<String, Kept>,
    /// Whether one of each file was done anew.
    checked: Vec<AtomicBool>,
    taken: AtomicUsize,
}

/// One training.
#[derive(Debug)]
struct Kept {
    result: Value,
    file: usize,
}

/// What a run finds of a unit.
#[derive(Debug, PartialEq)]
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// A result to be taken.
    Taken(&'a Value),
    /// A result that the unit must have when it is done anew.
    ToCheck(&'a Value),
}

impl Published {
    /// All trainings of a folder.
    ///
    /// # Errors
    ///
    /// A folder or file that cannot be read, or that is none of these.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut all = Self::default();
        for (file, path) in files(folder)?.iter().enumerate() {
            for group in groups(path)? {
                for (&number, result) in &group.results {
                    let kept = Kept { result: result.clone(), file };
                    all.trainings.insert(group.recipe(number)?.text().to_owned(), kept);
                }
            }
            all.checked.push(AtomicBool::new(false));
        }
        Ok(all)
    }

    /// What there is of a unit.
    pub fn find(&self, recipe: &Recipe) -> Found<'_> {
        let Some(Kept { result, file }) = self.trainings.get(recipe.text()) else {
            return Found::Nothing;
        };
        if !self.checked[*file].swap(true, Ordering::Relaxed) {
            return Found::ToCheck(result);
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Found::Taken(result)
    }

    /// How many were taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Writes the trainings of some runs into a folder, one file a network, beside those that are there.
///
/// # Errors
///
/// A folder without finished work, a damaged file, or two results of one training that differ.
pub(crate) fn keep(args: &KeepArgs) -> Result<()> {
    let mut nets: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    fs::create_dir_all(&args.into)
        .with_context(|| format!("cannot create {}", args.into.display()))?;
    for path in files(&args.into)? {
        for group in groups(&path)? {
            add(&mut nets, group)?;
        }
    }
    for folder in &args.folders {
        let jobs = folder.join(JOBS);
        ensure!(jobs.is_dir(), "{} holds no finished work", folder.display());
        // No result is looked for: the build does not matter.
        for job in JobStore::open(&jobs, Build::new("", ""))?.list()? {
            let job = job?;
            if let Some(group) = group_of(&job.recipe, &job.build.commit, job.result) {
                add(&mut nets, group)?;
            }
        }
    }
    let mut trainings = 0;
    for (net, groups) in &mut nets {
        groups.sort_by_cached_key(|group| (group.unit_text(), group.commit.clone()));
        trainings += groups.iter().map(|group| group.results.len()).sum::<usize>();
        let lines = groups.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        qtaml::files::write(&args.into.join(format!("{net}.json")), text.as_bytes())?;
    }
    println!("{trainings} trainings of {} networks in {}", nets.len(), args.into.display());
    Ok(())
}

impl Group {
    fn unit_text(&self) -> String {
        Value::from(self.unit.clone()).to_string()
    }

    fn is_like(&self, other: &Self) -> bool {
        (&self.commit, &self.run, &self.unit) == (&other.commit, &other.run, &other.unit)
    }
}

/// The training that a job was, unless it was other work.
fn group_of(recipe: &Value, commit: &str, result: Value) -> Option<Group> {
    let (number, unit) = recipe["unit"].as_array()?.split_last()?;
    let number = number.as_u64().filter(|_| unit.first().is_some_and(|tag| tag == TAG))?;
    let results = BTreeMap::from([(number, result)]);
    Some(Group { commit: commit.into(), run: recipe["run"].clone(), unit: unit.to_vec(), results })
}

/// Puts trainings to those of their network; of two of one recipe the first one stays.
fn add(nets: &mut BTreeMap<String, Vec<Group>>, mut group: Group) -> Result<()> {
    let net = group.unit.get(1).and_then(Value::as_str).context("a training without a network")?;
    let of_net = nets.entry(net.to_owned()).or_default();
    for other in
        of_net.iter().filter(|other| (&other.run, &other.unit) == (&group.run, &group.unit))
    {
        for (number, ours) in &other.results {
            if let Some(theirs) = group.results.remove(number) {
                ensure!(
                    *ours == theirs,
                    "training {number} of {} came out otherwise in commits {} and {}: {ours} and {theirs}",
                    group.unit_text(),
                    other.commit,
                    group.commit
                );
            }
        }
    }
    match of_net.iter_mut().find(|other| other.is_like(&group)) {
        Some(other) => other.results.append(&mut group.results),
        None if group.results.is_empty() => {}
        None => of_net.push(group),
    }
    Ok(())
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let list = || -> std::io::Result<Vec<_>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut files = list().with_context(|| format!("cannot read {}", folder.display()))?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

fn groups(path: &Path) -> Result<Vec<Group>> {
    let cannot = || format!("cannot use {}", path.display());
    let text = fs::read_to_string(path).with_context(cannot)?;
    serde_json::from_str(&text).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A run's folder with trainings 0 to `count`, and work of another kind.
    fn run(folder: &Path, commit: &str, count: u64, accuracy: f64) {
        let build = Build::new("0.1.0", commit).with_commit(commit);
        let jobs = JobStore::open(&folder.join(JOBS), build).unwrap();
        let run = json!({ "profile": "quick" });
        for number in 0..count {
            let unit = json!(["qat", "lenet", "STE", number]);
            let recipe = Recipe::new(&json!({ "run": run, "unit": unit })).unwrap();
            jobs.put(&recipe, &vec![accuracy, number as f64]).unwrap();
        }
        let other = Recipe::new(&json!({ "run": run, "unit": ["trial", 3] })).unwrap();
        jobs.put(&other, &1.0).unwrap();
    }

    #[test]
    fn trainings_are_kept_added_to_and_found() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let [one, two, into] = ["one", "two", "into"].map(|name| folder.path().join(name));
        run(&one, "a", 2, 0.9);
        run(&two, "b", 3, 0.9);
        keep(&KeepArgs { folders: vec![one.clone()], into: into.clone() })?;
        let first = fs::read_to_string(into.join("lenet.json"))?;
        keep(&KeepArgs { folders: vec![one], into: into.clone() })?;
        assert_eq!(fs::read_to_string(into.join("lenet.json"))?, first, "the same again");
        keep(&KeepArgs { folders: vec![two], into: into.clone() })?;
        let all = groups(&into.join("lenet.json"))?;
        let commits: Vec<(&str, usize)> =
            all.iter().map(|group| (&*group.commit, group.results.len())).collect();
        assert_eq!(commits, [("a", 2), ("b", 1)], "what was there stays");

        let published = Published::open(&into)?;
        let recipe = |number: u64| {
            let unit = json!(["qat", "lenet", "STE", number]);
            Recipe::new(&json!({ "unit": unit, "run": { "profile": "quick" } }))
        };
        assert_eq!(published.find(&recipe(1)?), Found::ToCheck(&json!([0.9, 1.0])));
        assert_eq!(published.find(&recipe(2)?), Found::Taken(&json!([0.9, 2.0])));
        assert_eq!(published.find(&recipe(3)?), Found::Nothing);
        assert_eq!(published.taken(), 1);
        Ok(())
    }

    #[test]
    fn two_results_of_one_training_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, into] = ["one", "two", "into"].map(|name| folder.path().join(name));
        run(&one, "a", 1, 0.9);
        run(&two, "b", 1, 0.8);
        let error = keep(&KeepArgs { folders: vec![one, two], into: into.clone() }).unwrap_err();
        assert!(error.to_string().contains("commits a and b: [0.9,0.0] and [0.8,0.0]"), "{error}");
        assert!(files(&into).unwrap().is_empty(), "nothing is written");
        fs::write(into.join("x.json"), "{}").unwrap();
        assert!(format!("{:#}", Published::open(&into).unwrap_err()).contains("x.json"));
    }
}
