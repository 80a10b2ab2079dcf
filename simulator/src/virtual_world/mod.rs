//! The virtual world: the same scenario, server, fleet and judge on one thread, under a clock that jumps.
//!
//! In: a scenario and a seed. Out: the history, byte for byte the same for the same scenario, seed and program. There is
//! no socket, no thread and no clock of the operating system: [`world`] goes from one deadline to the next, [`cluster`]
//! has the instances ([`process`]) and their broker ([`message_broker`]), and every delay is drawn from the seed.

mod clock;
mod cluster;
mod connection;
mod diagram;
mod effects;
mod failover;
mod left_over;
mod link;
mod master;
mod memory;
mod message_broker;
mod northbound;
mod process;
mod queue;
mod search;
mod storage;
mod trace;
mod transitions;
mod watch;
mod world;

pub use search::{
    Coverage, Finding, SearchOptions, ShrinkOptions, Shrunk, Tried, Wrong, draw_diagram, search,
    search_until, shrink, shrink_until,
};

use crate::facts::{BrokerFacts, RunFacts};
use crate::history::HistoryWriter;
use crate::progress::Progress;
use crate::recorder::{Recorder, cannot_write};
use crate::run::{EnvironmentError, HISTORY_FILE, Outcome, RunOptions, header};
use crate::scenario::Scenario;
use lwm2m::time::Time;
use world::World;

/// Carries out a run. Its wall time is the caller's to measure.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<Outcome, EnvironmentError> {
    run_until(scenario, options, &|| false)
}

/// As [`run`], but ends when `interrupted` says that somebody wants it to.
pub fn run_until(
    scenario: &Scenario,
    options: &RunOptions,
    interrupted: &dyn Fn() -> bool,
) -> Result<Outcome, EnvironmentError> {
    let history = options.out.join(HISTORY_FILE);
    let header = header(scenario, options.seed, "virtual", 0);
    let writer = HistoryWriter::create(&history, &header).map_err(|error| cannot_write(&error))?;
    let mut recorder = Recorder::new(writer)?;
    let progress = Progress::new(options.quiet, scenario.duration);
    let mut world = World::new(scenario, options.seed, progress)?;
    let mut ended_early = false;
    loop {
        ended_early = ended_early || interrupted();
        let goes_on = if ended_early {
            world.interrupt()
        } else {
            world.step()
        };
        while let Some(entry) = world.poll_entry() {
            recorder.record(Time::from_micros(entry.at_us), entry.event);
        }
        recorder.check()?;
        if !goes_on {
            break;
        }
    }
    recorder.finish()?;
    let facts = RunFacts {
        broker: BrokerFacts {
            kind: "embedded".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..BrokerFacts::default()
        },
        unsent: world.unsent(),
        warnings: world.warnings(),
        defects: world.defects().iter().map(ToString::to_string).collect(),
        ..RunFacts::default()
    };
    Ok(Outcome {
        history,
        facts,
        interrupted: ended_early,
    })
}
