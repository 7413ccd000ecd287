//! Progress on standard error, for work that takes its time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is over before shows none.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar on standard error if that is a terminal and the work takes longer than a moment.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    begin: Instant,
    is_shown: AtomicBool,
}

impl Progress {
    /// Work that is called `what` and reads so many bytes.
    pub(crate) fn of_bytes(what: &str, bytes: u64) -> Self {
        Self::new(what, bytes, "{bytes} of {total_bytes}")
    }

    /// Work that is called `what` and has so many steps.
    pub(crate) fn of_steps(what: &str, steps: u64) -> Self {
        Self::new(what, steps, "{percent:>3} %  {elapsed}")
    }

    fn new(what: &str, total: u64, done: &str) -> Self {
        let style = format!("{{prefix}} {{wide_bar:.cyan/dim}} {done}  eta {{eta}}");
        let style = ProgressStyle::with_template(&style);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix(what.to_owned());
        Self { bar, begin: Instant::now(), is_shown: AtomicBool::new(false) }
    }

    /// So much more is done.
    pub(crate) fn inc(&self, count: u64) {
        self.bar.inc(count);
        let is_due = || self.begin.elapsed() > PATIENCE;
        if !self.is_shown.load(Ordering::Relaxed) && is_due() {
            self.is_shown.store(true, Ordering::Relaxed);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
