//! How far a transfer has come, drawn on standard error while it is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use propeller_artifact::Progress;

const TEMPLATE: &str = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}";

/// A bar that appears with the first bytes, and is gone when this is dropped.
pub struct Transfer(ProgressBar);

impl Transfer {
    /// A bar behind `what`. Unless it is `shown`, nothing is ever drawn; nor where standard error isn't a terminal, which indicatif checks.
    pub fn new(what: &'static str, shown: bool) -> Self {
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target).with_message(what);
        // The template is a constant; were it wrong, the default style would do.
        Self(match ProgressStyle::with_template(TEMPLATE) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    /// What moves the bar.
    pub fn progress(&self) -> Progress {
        let bar = self.0.clone();
        Progress::new(move |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
