//! A memo: results that are computed once for each key and shared.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A map that is filled as it is asked. Those who want another key are not held up while one is made;
/// those who want the same key wait for it.
pub(crate) struct Memo<K, V> {
    slots: Mutex<HashMap<K, Arc<OnceLock<Arc<V>>>>>,
}

impl<K: Eq + Hash, V> Memo<K, V> {
    /// What belongs to `key`, made now if nobody asked before.
    pub(crate) fn get_or_make(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        self.slot(key).get_or_init(|| Arc::new(make())).clone()
    }

    /// The same for what may fail. A failure is not kept; threads that ask at once may all make it.
    pub(crate) fn get_or_try<E>(
        &self,
        key: K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let slot = self.slot(key);
        if let Some(made) = slot.get() {
            return Ok(made.clone());
        }
        let made = Arc::new(make()?);
        Ok(slot.get_or_init(|| made).clone())
    }

    fn slot(&self, key: K) -> Arc<OnceLock<Arc<V>>> {
        // Nothing panics while it is held, and what is in it is whole at any time.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(key).or_default().clone()
    }
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

impl<K, V> fmt::Debug for Memo<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn each_key_is_made_once_by_any_number_of_threads() {
        let (memo, made) = (Memo::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8_u32 {
                let (memo, made) = (&memo, &made);
                scope.spawn(move || {
                    let value = memo.get_or_make(thread % 2, || {
                        made.fetch_add(1, Ordering::Relaxed);
                        thread % 2 + 10
                    });
                    assert_eq!(*value, thread % 2 + 10);
                });
            }
        });
        assert_eq!(made.into_inner(), 2);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let memo: Memo<u8, u8> = Memo::default();
        assert_eq!(memo.get_or_try(1, || Err("no")), Err("no"));
        assert_eq!(memo.get_or_try(1, || Ok::<_, &str>(3)), Ok(Arc::new(3)));
        assert_eq!(memo.get_or_try(1, || Err("never asked")), Ok(Arc::new(3)));
    }
}
