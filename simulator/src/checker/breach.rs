//! The ways in which the contract can be broken: here each is written once, in the order of report.json.

use serde::{Deserialize, Serialize};

macro_rules! breaches {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A rule that was broken, named as in report.json.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Breach {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Breach {
            /// All of them.
            pub const ALL: &[Breach] = &[$(Breach::$name),*];

            /// As in report.json.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Breach::$name => $text,)*
                }
            }
        }
    };
}

breaches! {
    /// Never answered, though an instance that received it stayed.
    Lost = "lost",
    /// Stored, and never ended.
    NoTerminal = "no_terminal",
    /// A response without an ack before it.
    NoAck = "no_ack",
    /// A second ack that is no copy brought by a repeat.
    DoubleAck = "double_ack",
    /// A second outcome.
    DoubleTerminal = "double_terminal",
    /// The ack came after the outcome.
    TerminalBeforeAck = "terminal_before_ack",
    /// A superseded incarnation spoke, or two members acked the same ticket.
    TwoVoices = "two_voices",
    /// A message about a ticket that nobody sent, or an execution of a request that nobody made.
    Orphan = "orphan",
    /// The device executed a request again that may reach it once, or in another exchange.
    DoubleExecution = "double_execution",
    /// The device executed requests in another order than that of their acks.
    OutOfOrder = "out_of_order",
    /// The cluster said something that the ledger of the device contradicts: a value that the device never returned,
    /// a success that it never performed, `"sent":false` for what it executed.
    WrongValue = "wrong_value",
    /// The outcome came after the timeout and F.
    Late = "late",
    /// The outcome was TIMEOUT, though nothing stood between the cluster and the device.
    Unserved = "unserved",
    /// An error that the cluster or a device gave, as far as the history tells, without a lawful cause.
    UnlawfulError = "unlawful_error",
    /// After all faults were over something did not become well: an instance, a device, a ticket, or what the broker keeps.
    NotRecovered = "not_recovered",
    /// A registration event out of sequence, or one that contradicts what the device was told.
    Event = "event",
}

impl Breach {
    /// Those that are about tickets.
    pub fn tickets() -> impl Iterator<Item = Breach> {
        Breach::ALL
            .iter()
            .copied()
            .filter(|breach| *breach != Breach::Event)
    }
}
