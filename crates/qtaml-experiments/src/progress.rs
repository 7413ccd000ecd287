//! Progress of a run: bars with remaining time on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shortest time between two plain lines: a log of a long run stays readable.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bars on the terminal behind standard error.
    Bars,
    /// Lines on standard error.
    Lines,
    /// Nowhere.
    Hidden,
}

impl Kind {
    /// Bars where standard error is a terminal, else lines.
    pub fn detect() -> Self {
        if io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }
}

/// The progress of a run. Threads may share it.
pub struct Progress {
    sink: Sink,
    units: Arc<Units>,
}

/// How many units of work were found, and how many were begun, so far.
#[derive(Default)]
struct Units {
    kept: AtomicU64,
    begun: AtomicU64,
}

impl Units {
    fn counts(&self) -> [u64; 2] {
        [&self.kept, &self.begun].map(|count| count.load(Ordering::Relaxed))
    }
}

#[derive(Clone)]
enum Sink {
    Bars(MultiProgress),
    Lines(Arc<Lines>),
    Hidden,
}

impl Progress {
    /// Progress of the given kind.
    pub fn new(kind: Kind) -> Self {
        let sink = match kind {
            Kind::Bars => Sink::Bars(MultiProgress::new()),
            Kind::Lines => Sink::Lines(Arc::new(Lines::new(io::stderr(), LINE_EVERY))),
            Kind::Hidden => Sink::Hidden,
        };
        Self { sink, units: Arc::default() }
    }

    /// Starts a task of `total` equal steps. Tasks may run side by side; dropping one ends it.
    pub fn task(&self, name: &str, total: u64) -> Task {
        let view = match &self.sink {
            Sink::Bars(bars) => View::Bar(bars.add(bar(name, total))),
            Sink::Lines(lines) => View::Lines(Arc::clone(lines)),
            Sink::Hidden => View::Hidden,
        };
        let [done, before] = [0, 0].map(AtomicU64::new);
        let units = Arc::clone(&self.units);
        let seen = units.counts().map(AtomicU64::new);
        Task { name: name.into(), total, done, before, units, seen, start: Instant::now(), view }
    }

    /// A unit of work was found finished. Steps of tasks that consist of such units tell nothing of
    /// the remaining time.
    pub fn unit_kept(&self) {
        self.units.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// A unit of work is begun.
    pub fn unit_begun(&self) {
        self.units.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Prints a line on standard error without tearing the bars.
    pub fn say(&self, line: &str) {
        match &self.sink {
            // Nobody can be told that standard error is gone.
            Sink::Bars(bars) => drop(bars.println(line)),
            Sink::Lines(lines) => lines.print(line),
            Sink::Hidden => {}
        }
    }
}

fn bar(name: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg:24!} {wide_bar:.cyan/dim} {pos}/{len} {percent:>3} %  {elapsed} eta {eta}",
    );
    ProgressBar::new(total)
        .with_message(name.to_owned())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A task under way. Threads may share it.
pub struct Task {
    name: String,
    total: u64,
    done: AtomicU64,
    /// Those of them that an earlier run has done.
    before: AtomicU64,
    units: Arc<Units>,
    /// The counts of units at the last step.
    seen: [AtomicU64; 2],
    start: Instant,
    view: View,
}

enum View {
    Bar(ProgressBar),
    Lines(Arc<Lines>),
    Hidden,
}

impl Task {
    /// `steps` more are done. If all units of work since the last step were found finished, the steps
    /// count as those of an earlier run.
    pub fn tick(&self, steps: u64) {
        let counts = self.units.counts();
        let [kept, begun] =
            [0, 1].map(|i| counts[i] > self.seen[i].swap(counts[i], Ordering::Relaxed));
        if kept && !begun {
            return self.skip(steps);
        }
        let done = self.done.fetch_add(steps, Ordering::Relaxed) + steps;
        match &self.view {
            View::Bar(bar) => bar.inc(steps),
            View::Lines(lines) => lines.offer(|| self.line(done)),
            View::Hidden => {}
        }
    }

    /// An earlier run has done `steps` more: they tell nothing of the remaining time.
    pub fn skip(&self, steps: u64) {
        self.done.fetch_add(steps, Ordering::Relaxed);
        self.before.fetch_add(steps, Ordering::Relaxed);
        if let View::Bar(bar) = &self.view {
            bar.inc(steps);
            bar.reset_eta();
        }
    }

    fn line(&self, done: u64) -> String {
        let here = done - self.before.load(Ordering::Relaxed);
        line(&self.name, [here, done, self.total], self.start.elapsed())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

/// Name, steps, share, and the remaining time if the rest takes as long per step as those that were
/// done here, in the time `elapsed`.
fn line(name: &str, [here, done, total]: [u64; 3], elapsed: Duration) -> String {
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    let left = total.saturating_sub(done) as f64;
    let eta = if here == 0 { "?".into() } else { span(elapsed.as_secs_f64() * left / here as f64) };
    format!("{name}  {done}/{total}  {:.0} %  eta {eta}", 100.0 * share)
}

/// A time span as people say it: `34 s`, `2 min 5 s`, `1 h 3 min`.
pub fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, min, _) => format!("{h} h {min} min"),
    }
}

/// Lines that come no faster than one per `every`, whoever offers them.
struct Lines {
    every: Duration,
    state: Mutex<(Instant, Box<dyn Write + Send>)>,
}

impl Lines {
    fn new(out: impl Write + Send + 'static, every: Duration) -> Self {
        Self { every, state: Mutex::new((Instant::now(), Box::new(out))) }
    }

    /// Prints the line if it is time; skips it, unformatted, if not.
    fn offer(&self, line: impl FnOnce() -> String) {
        // Whoever finds the lock taken would come too early anyway: no thread waits for a log.
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.0.elapsed() >= self.every {
            state.0 = Instant::now();
            // Progress is a courtesy: a closed standard error must not end the run.
            drop(writeln!(state.1, "{}", line()));
        }
    }

    fn print(&self, line: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(writeln!(state.1, "{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }

    fn lines_to(buffer: &Buffer, every: Duration) -> Progress {
        let sink = Sink::Lines(Arc::new(Lines::new(buffer.clone(), every)));
        Progress { sink, units: Arc::default() }
    }

    #[test]
    fn a_line_tells_steps_share_and_remaining_time() {
        let after = Duration::from_secs_f64;
        assert_eq!(
            line("qtaml.tac.lenet", [410, 410, 2050], after(8.5)),
            "qtaml.tac.lenet  410/2050  20 %  eta 34 s"
        );
        assert_eq!(line("a", [2, 6, 9], after(3.0)), "a  6/9  67 %  eta 5 s");
        assert_eq!(line("a", [0, 0, 9], after(3.0)), "a  0/9  0 %  eta ?");
        assert_eq!(line("a", [9, 9, 9], after(3.0)), "a  9/9  100 %  eta 0 s");
        assert_eq!(line("a", [0, 0, 0], after(3.0)), "a  0/0  100 %  eta ?");
    }

    #[test]
    fn steps_of_an_earlier_run_tell_no_time() {
        let buffer = Buffer::default();
        let task = lines_to(&buffer, Duration::ZERO).task("a", 100);
        task.skip(90);
        assert!(task.line(90).ends_with("90 %  eta ?"));
        task.tick(10);
        assert_eq!(buffer.text(), "a  100/100  100 %  eta 0 s\n");
    }

    #[test]
    fn steps_made_of_finished_units_tell_no_time() {
        let buffer = Buffer::default();
        let progress = lines_to(&buffer, Duration::ZERO);
        let task = progress.task("a", 10);
        for _ in 0..4 {
            progress.unit_kept();
            progress.unit_kept();
            task.tick(2);
        }
        assert!(buffer.text().is_empty());
        assert!(task.line(8).ends_with("80 %  eta ?"));
        // One of its units was new.
        progress.unit_kept();
        progress.unit_begun();
        task.tick(1);
        // Work that is in no unit.
        task.tick(1);
        assert_eq!(buffer.text().lines().count(), 2);
        assert_eq!(task.before.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn spans_read_like_speech() {
        assert_eq!(
            [0.4, 59.4, 125.0, 3780.0, -1.0].map(span),
            ["0 s", "59 s", "2 min 5 s", "1 h 3 min", "0 s"]
        );
    }

    #[test]
    fn lines_come_no_faster_than_allowed() {
        let (rare, often) = (Buffer::default(), Buffer::default());
        let slow = lines_to(&rare, Duration::from_hours(1));
        let fast = lines_to(&often, Duration::ZERO);
        for progress in [&slow, &fast] {
            let task = progress.task("a", 100);
            (0..100).for_each(|_| task.tick(1));
            progress.say("done");
        }
        assert_eq!(rare.text(), "done\n");
        assert_eq!(often.text().lines().count(), 101);
        assert!(often.text().ends_with("a  100/100  100 %  eta 0 s\ndone\n"));
    }

    #[test]
    fn threads_share_a_task() {
        for kind in [Kind::Hidden, Kind::Bars] {
            let task = Progress::new(kind).task("a", 400);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..100).for_each(|_| task.tick(1)));
                }
            });
            assert_eq!(task.done.load(Ordering::Relaxed), 400);
        }
    }

    #[test]
    fn the_bar_template_is_valid_and_dropping_a_task_ends_its_bar() {
        let style = ProgressStyle::with_template("{wide_bar:.cyan/dim} {eta}");
        assert!(style.is_ok());
        let hidden = Progress::new(Kind::Bars).task("a", 2);
        let View::Bar(bar) = &hidden.view else { unreachable!("bars were asked for") };
        let bar = bar.clone();
        drop(hidden);
        assert!(bar.is_finished());
    }
}
