//! What a person sees while a run goes on: a line that changes on a terminal, a line now and then in a log, or nothing.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lwm2m::time::Time;

/// Between two changes of the line on a terminal.
const TERMINAL_PACE: Duration = Duration::from_millis(250);
/// Between two lines in a log.
const LOG_PACE: Duration = Duration::from_secs(5);

enum Form {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

/// The progress of one run, on standard error.
pub struct Progress {
    form: Form,
    next: Time,
}

impl Progress {
    /// For a run that lasts `duration` before its drain.
    pub fn new(quiet: bool, duration: Duration) -> Self {
        let form = if quiet {
            Form::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
            let style = ProgressStyle::with_template("{bar:24} {msg}").expect("the template is well formed");
            bar.set_style(style);
            Form::Bar(bar)
        } else {
            Form::Lines
        };
        Progress {
            form,
            next: Time::ZERO,
        }
    }

    /// Says something that stays: a fault, a warning.
    pub fn note(&self, text: &str) {
        match &self.form {
            Form::Nothing => {}
            Form::Lines => eprintln!("{text}"),
            Form::Bar(bar) => bar.println(text),
        }
    }

    /// When the line is to be changed next; none if there is no line.
    pub fn next_deadline(&self) -> Option<Time> {
        (!matches!(self.form, Form::Nothing)).then_some(self.next)
    }

    /// Changes the line, if it is time.
    pub fn update(&mut self, now: Time, line: impl FnOnce() -> String) {
        if now < self.next {
            return;
        }
        match &self.form {
            Form::Nothing => {}
            Form::Lines => {
                eprintln!("{}", line());
                self.next = now + LOG_PACE;
            }
            Form::Bar(bar) => {
                bar.set_position(now.as_millis());
                bar.set_message(line());
                self.next = now + TERMINAL_PACE;
            }
        }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

/// Seconds since the start of the run, as a person reads them.
pub fn seconds(time: Time) -> f64 {
    time.as_micros() as f64 / 1e6
}
