//! The local executor: jobs on the threads of this machine.

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Done, JobError, JobStore, Recipe};

/// Does all jobs that are not done yet, side by side on the current thread pool, and returns all
/// results in the order of the recipes.
///
/// # Errors
/// What `work` returns, or a [`JobError`] as of [`JobStore::get_or_compute`]. Jobs that are under way
/// then are finished and kept; others do not begin.
pub fn run_local<T, E>(
    store: &JobStore,
    recipes: &[Recipe],
    work: impl Fn(&Recipe) -> Result<T, E> + Sync,
) -> Result<Vec<Done<T>>, E>
where
    T: Serialize + DeserializeOwned + Send,
    E: From<JobError> + Send,
{
    recipes.par_iter().map(|recipe| store.get_or_compute(recipe, || work(recipe))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::{Build, Origin, Shard};
    use super::*;

    #[test]
    fn shards_do_their_part_and_a_last_run_finds_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = JobStore::open(folder.path(), Build::new("", "")).unwrap();
        let recipes: Vec<Recipe> = (0..10).map(|n| Recipe::new(&n).unwrap()).collect();
        let calls = AtomicUsize::new(0);
        let work = |recipe: &Recipe| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok::<_, JobError>(recipe.description().as_u64().unwrap_or(0).pow(2))
        };
        for index in 1..=3 {
            let shard = Shard::new(index, 3).unwrap();
            let part: Vec<Recipe> =
                (0..10).filter(|&n| shard.has_position(n)).map(|n| recipes[n].clone()).collect();
            run_local(&store, &part, work).unwrap();
        }
        let all = run_local(&store, &recipes, work).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 10);
        assert!(all.iter().all(|done| matches!(done.origin, Origin::Kept)));
        assert_eq!(all.iter().map(|done| done.value).sum::<u64>(), 285);
    }

    #[test]
    fn a_failed_job_keeps_those_before_it() {
        #[derive(Debug)]
        enum Error {
            Job,
            Work,
        }
        impl From<JobError> for Error {
            fn from(_: JobError) -> Self {
                Self::Job
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let store = JobStore::open(folder.path(), Build::new("", "")).unwrap();
        let recipes: Vec<Recipe> = (0..2).map(|n| Recipe::new(&n).unwrap()).collect();
        run_local(&store, &recipes[..1], |_| Ok::<_, Error>(1)).unwrap();
        let failed = run_local(&store, &recipes, |_| Err::<u8, _>(Error::Work));
        assert!(matches!(failed, Err(Error::Work)), "{failed:?}");
        assert_eq!(store.get::<u8>(&recipes[0]).unwrap(), Some(1));
    }
}
