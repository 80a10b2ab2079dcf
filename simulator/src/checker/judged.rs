//! How often each rule was applied, and how often it looked away, and why. A rule that always looks away finds nothing and
//! looks green.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Breach;

macro_rules! excuses {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a rule looked away, named as in report.json.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Excuse {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        const EXCUSES: &[Excuse] = &[$(Excuse::$name),*];
    };
}

excuses! {
    /// The back end heard nothing for a while, and may have missed what the rule is about.
    Missed = "missed",
    /// The broker forgot.
    Era = "era",
    /// The cluster had a fault to get over.
    Fault = "fault",
    /// Nobody was there who could have done it.
    Nobody = "nobody",
    /// The device was away, or did what explains it.
    Device = "device",
    /// The network loses datagrams.
    Loss = "loss",
    /// The device had other requests to answer first.
    Busy = "busy",
    /// A clock was touched.
    Clock = "clock",
    /// The run ended before it was due.
    Unfinished = "unfinished",
    /// The history does not say what would be needed.
    Unknown = "unknown",
}

/// `judged.RULE`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// How often the rule was applied.
    pub judged: u64,
    /// How often it looked away, by the reason.
    pub excused: BTreeMap<Excuse, u64>,
}

impl Applied {
    /// One that has every reason.
    pub fn full() -> Applied {
        Applied {
            judged: 1,
            excused: EXCUSES.iter().map(|why| (*why, 1)).collect(),
        }
    }
}

/// Counts for all rules.
#[derive(Default)]
pub(super) struct Counts {
    judged: [u64; Breach::ALL.len()],
    excused: [[u64; EXCUSES.len()]; Breach::ALL.len()],
}

impl Counts {
    pub(super) fn judged(&mut self, rule: Breach) {
        self.judged[rule as usize] += 1;
    }

    pub(super) fn excused(&mut self, rule: Breach, why: Excuse) {
        self.excused[rule as usize][why as usize] += 1;
    }

    /// For the report: every rule, and those reasons that came.
    pub(super) fn by_rule(&self) -> BTreeMap<Breach, Applied> {
        let of = |rule: Breach| {
            let excused = EXCUSES
                .iter()
                .map(|why| (*why, self.excused[rule as usize][*why as usize]));
            let judged = self.judged[rule as usize];
            let excused = excused.filter(|(_, count)| *count > 0).collect();
            (rule, Applied { judged, excused })
        };
        Breach::ALL.iter().map(|rule| of(*rule)).collect()
    }
}
