//! Sees that a real broker forgot something: somebody restarted or flushed it by hand, or it was killed and had not written
//! all of it to its disk.
//!
//! A counter of our own in the broker grows by one each time that we look. One that does not grow has been forgotten, and
//! with it whatever the cluster had stored since. In: a client. Out: reports, each with the moment from which it is true. What
//! was heard after the last good one may belong to either era.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Between two looks.
const PACE: Duration = Duration::from_millis(50);
/// How long the broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// The counter outlives the run for so long, if nobody is left to remove it.
const LIFETIME_S: u32 = 3600;

/// What was seen.
#[derive(Debug)]
pub enum Report {
    /// Until then the broker had forgotten nothing.
    Remembers(Instant),
    /// It forgot something after the last good report; what, in words.
    Forgot(&'static str),
}

/// The watch. Dropping it ends it.
pub struct Canary {
    client: Client,
    key: String,
    reports: mpsc::UnboundedReceiver<Report>,
    task: JoinHandle<()>,
}

impl Canary {
    /// Begins to look. `key` is nobody else's.
    pub fn start(client: Client, key: String) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let watch = Watch {
            client: client.clone(),
            key: key.clone(),
            count: 0,
            run_id: None,
        };
        Canary {
            client,
            key,
            reports,
            task: tokio::spawn(watch.keep_looking(sender)),
        }
    }

    /// The next report, if there is one.
    pub fn try_recv(&mut self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// Ends the watch, and leaves nothing in the broker.
    pub async fn remove(self) {
        self.task.abort();
        // If it fails, the broker forgets it by itself.
        if let Ok(mut connection) = self.client.get_multiplexed_async_connection().await {
            let _ = redis::cmd("DEL")
                .arg(&self.key)
                .query_async::<()>(&mut connection)
                .await;
        }
    }

    /// Waits for the next report.
    pub async fn recv(&mut self) -> Option<Report> {
        self.reports.recv().await
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watch {
    client: Client,
    key: String,
    /// What the counter showed last.
    count: u64,
    /// Of the process that answered last.
    run_id: Option<String>,
}

impl Watch {
    async fn keep_looking(mut self, reports: mpsc::UnboundedSender<Report>) {
        while !reports.is_closed() {
            // A broker that is away forgets nothing that we could see: there is nothing to be said.
            let _ = self.look_until_it_breaks(&reports).await;
            tokio::time::sleep(PACE).await;
        }
    }

    async fn look_until_it_breaks(&mut self, reports: &mpsc::UnboundedSender<Report>) -> RedisResult<()> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let run_id = run_id(&mut connection).await;
        let restarted = self.run_id.is_some() && self.run_id != run_id;
        self.run_id = run_id;
        while !reports.is_closed() {
            let asked = Instant::now();
            let count = self.increment(&mut connection).await?;
            let forgot = count <= self.count;
            self.count = count;
            let report = match (forgot, restarted) {
                (false, _) => Report::Remembers(asked),
                (true, true) => Report::Forgot("the broker was restarted, and forgot"),
                (true, false) => Report::Forgot("the broker was emptied while it ran"),
            };
            let _ = reports.send(report);
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    }

    async fn increment(&self, connection: &mut MultiplexedConnection) -> RedisResult<u64> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("INCR").arg(&self.key);
        pipeline.cmd("EXPIRE").arg(&self.key).arg(LIFETIME_S).ignore();
        let (count,) = pipeline.query_async(connection).await?;
        Ok(count)
    }
}

/// None if the broker does not say: the embedded one does not.
async fn run_id(connection: &mut MultiplexedConnection) -> Option<String> {
    let info = redis::cmd("INFO")
        .arg("server")
        .query_async::<String>(connection)
        .await;
    let info = info.ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("run_id:"))?;
    Some(line.trim().to_owned())
}
