//! Other texts of scripts, run on a copy of the broker's data wherever the script itself is called: that they run there,
//! not what they do.

use super::World;
use broker::{ClientId, Keyspace, Limits, Reply as BrokerReply};
use server::store::{Call, Script};

/// Each runs as often at most, because it is compiled anew every time.
const MOST: usize = 50;

pub struct Beside {
    texts: Vec<(Script, String)>,
    runs: Vec<usize>,
    broker: Keyspace,
    client: ClientId,
}

impl World {
    /// From now on each of these runs beside the script that it stands for.
    pub fn run_beside(&mut self, texts: Vec<(Script, String)>) {
        let mut broker = Keyspace::new(Limits::default());
        self.beside = Some(Beside {
            runs: vec![0; texts.len()],
            texts,
            client: broker.connect(),
            broker,
        });
    }

    /// How often each of them has run.
    pub fn runs_beside(&self) -> &[usize] {
        self.beside.as_ref().map_or(&[], |beside| &beside.runs)
    }

    pub(super) fn execute_beside(&mut self, call: &Call) {
        let now_us = self.broker_time();
        let Some(beside) = &mut self.beside else { return };
        let data = self.broker.snapshot();
        for (at, (script, text)) in beside.texts.iter().enumerate() {
            if *script != call.script || beside.runs[at] >= MOST {
                continue;
            }
            beside.broker.restore(data.clone());
            let mut words: Vec<&[u8]> = vec![b"EVAL", text.as_bytes(), b"1", call.key.as_bytes()];
            words.extend(call.args.iter().map(Vec::as_slice));
            let reply = beside.broker.execute(now_us, beside.client, &words);
            if let BrokerReply::Error(error) = reply {
                panic!("{script:?}: {}\n{text}", String::from_utf8_lossy(&error));
            }
            beside.runs[at] += 1;
        }
    }
}
