//! Says how far the look at files has come, if it takes more than a second: those of this disk, and those that are downloaded to be
//! measured.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use pipe_stages::stage::{Host, Progress};

use crate::{size::size, talk, time::duration};

/// A look at files and folders.
pub(crate) struct Looking {
    quiet: bool,
    began: Instant,
    shown: Mutex<Shown>,
}

/// What was shown so far.
#[derive(Default)]
struct Shown {
    bar: Option<(talk::Bars, ProgressBar)>,
    /// When a line was said.
    said: Option<Instant>,
}

/// Before that, nothing is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time between two lines if there are no bars.
const LINES_EVERY: Duration = Duration::from_secs(30);

impl Looking {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, began: Instant::now(), shown: Mutex::default() }
    }

    /// Takes note of the progress.
    pub(crate) fn tell(&self, progress: &Progress) {
        if self.quiet || self.began.elapsed() < PATIENCE {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.said.is_none() && shown.bar.is_none() {
            shown.bar = talk::Bars::start().map(|bars| {
                let bar = bars.add(ProgressBar::new(0));
                let style = ProgressStyle::with_template("{prefix:<28} {bar:24.cyan/blue} {msg}");
                bar.set_style(style.expect("the template is a constant"));
                bar.set_prefix("looking at files");
                (bars, bar)
            });
        }
        match &shown.bar {
            Some((_, bar)) => {
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                bar.set_message(self.text(progress));
            }
            None if shown.said.is_none_or(|said| said.elapsed() >= LINES_EVERY) => {
                shown.said = Some(Instant::now());
                talk::say(&format!("looking at files: {}", self.text(progress)));
            }
            None => {}
        }
    }

    fn text(&self, progress: &Progress) -> String {
        let Progress { done, total, .. } = *progress;
        if total == 0 {
            return if progress.unit == "bytes" { size(done) } else { format!("{done} found") };
        }
        if done >= total {
            return size(total);
        }
        let speed = done as f64 / self.began.elapsed().as_secs_f64();
        let left = duration(total.saturating_sub(done) as f64 / speed.max(1.0));
        format!("{} of {}, {left} left", size(done), size(total))
    }
}

/// A look is not interrupted: ^C ends the program, and leaves nothing that matters.
impl Host for Looking {
    fn progress(&self, progress: &Progress) {
        self.tell(progress);
    }
}
