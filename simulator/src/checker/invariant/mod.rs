//! One invariant of the ticket contract per file. Those about what never came are functions, asked when it was due.

mod double_ack;
mod double_execution;
mod double_terminal;
mod late;
pub mod lost;
mod no_ack;
pub mod no_terminal;
mod not_recovered;
mod orphan;
mod out_of_order;
mod terminal_before_ack;
mod two_voices;
mod unlawful_error;
mod unserved;
mod wrong_value;

use super::Excuse;
use super::Found;
use super::book::Book;
use super::message::Message;
use crate::history::Entry;

/// What a rule thinks of a ticket that has had its time, and has no outcome.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// It breaks the rule, which is counted.
    Accused,
    /// It cannot be judged as long as this lasts.
    Waits(Excuse),
    /// It cannot be judged at all.
    Excused(Excuse),
}

/// A rule that a history keeps or breaks.
pub trait Invariant {
    /// Looks at an entry; the book does not hold it yet. `message` is what a `Heard` entry says.
    fn observe(&mut self, _entry: &Entry, _message: Option<&Message<'_>>, _book: &Book, _found: &mut Found) {}

    /// Looks at the whole when the history is at its end.
    fn finish(&mut self, _book: &Book, _found: &mut Found) {}
}

/// All that look at what comes.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(no_ack::NoAck),
        Box::new(double_ack::DoubleAck),
        Box::new(double_terminal::DoubleTerminal),
        Box::new(terminal_before_ack::TerminalBeforeAck),
        Box::new(two_voices::TwoVoices::default()),
        Box::new(orphan::Orphan),
        Box::new(double_execution::DoubleExecution),
        Box::new(out_of_order::OutOfOrder::default()),
        Box::new(wrong_value::WrongValue),
        Box::new(late::Late),
        Box::new(unserved::Unserved),
        Box::new(unlawful_error::UnlawfulError::default()),
        Box::new(not_recovered::NotRecovered),
    ]
}
