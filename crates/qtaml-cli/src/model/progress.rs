//! A sign of life for models that take their time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Nobody needs a sign of life before.
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
    pub(crate) fn new(what: &str, bytes: u64) -> Self {
        let style = "{prefix} {wide_bar:.cyan/dim} {bytes} of {total_bytes}  eta {eta}";
        let style = ProgressStyle::with_template(style);
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix(what.to_owned());
        Self { bar, begin: Instant::now(), is_shown: AtomicBool::new(false) }
    }

    /// So many more bytes were read.
    pub(crate) fn inc(&self, bytes: usize) {
        self.bar.inc(bytes as u64);
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
