//! The broker under the cluster: one that runs already, one that is started for the run, or the embedded one.
//!
//! In: what the command line and the scenario chose. Out: a URL at which a broker answers, what it is, and the process
//! if the simulator started it. Every way in which this can fail ends in one sentence that says what to do.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::child::{Child, ChildEvent, Program, tail};
use crate::facts::BrokerFacts;
use crate::run::EnvironmentError;
use crate::scenario::RedisChoice;

/// The servers that are looked for on PATH, in this order, and what they are called in the report.
const SERVERS: [(&str, &str); 2] = [("valkey-server", "valkey"), ("redis-server", "redis")];
/// How long a broker that was just started may take to answer.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Between two attempts to reach it.
const START_POLL: Duration = Duration::from_millis(20);
/// How long a broker that is said to run may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The tags of a cluster's keys, as glob patterns behind the prefix: its members, and its partitions.
const CLUSTER_KEYS: [&str; 2] = ["{m}*", "{p[0-9a-f][0-9a-f]}*"];
/// Its log, in the report directory.
const LOG_FILE: &str = "broker.log";
/// The tag of the broker's process among the children.
pub const BROKER_TAG: u64 = u64::MAX;

/// A broker that answers.
pub struct MessageBroker {
    /// Where.
    pub url: String,
    /// What it is.
    pub facts: BrokerFacts,
    /// The process, if the simulator started it.
    pub child: Option<Child>,
    client: Client,
    /// Somebody else's: what the run leaves in it is removed at the end.
    borrowed: bool,
    /// The keys of the cluster, as glob patterns.
    keys: Vec<String>,
}

impl MessageBroker {
    /// Finds or starts the broker. `prefix` stands before every key of the cluster; the log of a broker that is started
    /// goes to `out`.
    pub async fn start(
        choice: &RedisChoice,
        prefix: &str,
        out: &Path,
        events: &mpsc::UnboundedSender<ChildEvent>,
    ) -> Result<Self, EnvironmentError> {
        match choice {
            RedisChoice::Url(url) => borrow(url, key_patterns(prefix)).await,
            RedisChoice::Embedded => launch_embedded(out, events).await,
            RedisChoice::Auto => {
                let found = SERVERS
                    .iter()
                    .find_map(|(name, kind)| Some((on_path(name)?, *kind)));
                match found {
                    Some((path, kind)) => launch_server(&path, kind, out, events).await,
                    None => launch_embedded(out, events).await,
                }
            }
        }
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What it is, for a person: `redis 7.0.15 at redis://127.0.0.1:6379`.
    pub fn describe(&self) -> String {
        let origin = match (self.borrowed, self.facts.kind.as_str()) {
            (true, _) => "running already",
            (false, "embedded") => "no redis-server on PATH or asked for",
            (false, _) => "found on PATH, started for this run",
        };
        let shown = shown_url(&self.url);
        format!("{} {} at {shown} ({origin})", self.facts.kind, self.facts.version)
    }

    /// Removes what the cluster left in a broker that is not the simulator's own.
    pub async fn clear(&self) -> Result<(), RedisError> {
        if !self.borrowed {
            return Ok(());
        }
        let mut connection = connection(&self.client).await?;
        for pattern in &self.keys {
            let mut cursor = 0_u64;
            loop {
                let (next, keys) = scan(&mut connection, cursor, pattern).await?;
                if !keys.is_empty() {
                    redis::cmd("UNLINK")
                        .arg(&keys)
                        .query_async::<()>(&mut connection)
                        .await?;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Uses a broker that runs already, after making sure that it can be used.
async fn borrow(url: &str, keys: Vec<String>) -> Result<MessageBroker, EnvironmentError> {
    let shown = shown_url(url);
    let client = Client::open(url).map_err(|error| {
        let advice = "expected redis://[user:password@]host:port[/database]";
        EnvironmentError::new(format!("`{shown}` is no broker address: {error}; {advice}"))
    })?;
    let mut connection = connection(&client)
        .await
        .map_err(|error| unreachable(&shown, &error))?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await
        .map_err(|error| unreachable(&shown, &error))?;
    let mut facts = identify(&info);
    facts.configuration = configuration(&mut connection).await;
    check_eviction(&mut connection, &shown).await?;
    check_empty(&mut connection, &keys, &shown).await?;
    Ok(MessageBroker {
        url: url.to_owned(),
        facts,
        child: None,
        client,
        borrowed: true,
        keys,
    })
}

/// A broker that throws keys away when memory is short would lose tickets silently.
async fn check_eviction(connection: &mut MultiplexedConnection, url: &str) -> Result<(), EnvironmentError> {
    let mut get = redis::cmd("CONFIG");
    get.arg("GET").arg("maxmemory-policy");
    // A managed broker may forbid CONFIG: then nothing can be said about it.
    let Ok(pairs) = get.query_async::<Vec<String>>(connection).await else {
        return Ok(());
    };
    match pairs.get(1).map(String::as_str) {
        None | Some("noeviction") => Ok(()),
        Some(policy) => Err(EnvironmentError::new(format!(
            "the broker at {url} has maxmemory-policy `{policy}`: it would throw tickets away when memory is short; \
             set it to `noeviction` (redis-cli CONFIG SET maxmemory-policy noeviction)"
        ))),
    }
}

/// What decides how much it keeps, as far as it says.
async fn configuration(connection: &mut MultiplexedConnection) -> BTreeMap<String, String> {
    let mut configuration = BTreeMap::new();
    for name in [
        "maxmemory",
        "maxmemory-policy",
        "appendonly",
        "appendfsync",
        "save",
    ] {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        if let Ok(pairs) = get.query_async::<Vec<String>>(connection).await
            && let [name, value] = pairs.as_slice()
        {
            configuration.insert(name.clone(), value.clone());
        }
    }
    configuration
}

async fn check_empty(
    connection: &mut MultiplexedConnection,
    patterns: &[String],
    url: &str,
) -> Result<(), EnvironmentError> {
    for pattern in patterns {
        let mut cursor = 0;
        loop {
            let (next, keys) = scan(connection, cursor, pattern)
                .await
                .map_err(|error| unreachable(url, &error))?;
            if let Some(key) = keys.first() {
                return Err(EnvironmentError::new(format!(
                    "the broker at {url} holds another cluster's keys (`{key}`): a run needs a database of its own; \
                     choose another number (redis://host:port/5) or empty this one (redis-cli FLUSHDB)"
                )));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

async fn scan(
    connection: &mut MultiplexedConnection,
    cursor: u64,
    pattern: &str,
) -> Result<(u64, Vec<String>), RedisError> {
    let mut command = redis::cmd("SCAN");
    command
        .arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(1000);
    command.query_async(connection).await
}

async fn launch_server(
    path: &Path,
    kind: &str,
    out: &Path,
    events: &mpsc::UnboundedSender<ChildEvent>,
) -> Result<MessageBroker, EnvironmentError> {
    let port = free_tcp_port()?;
    let words = [
        "--bind",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--save",
        "",
        "--appendonly",
        "no",
        "--maxmemory-policy",
        "noeviction",
        "--dir",
        &out.display().to_string(),
        // The server opens it after it has gone to `--dir`: a longer path would be a wrong one if it is relative.
        "--logfile",
        LOG_FILE,
    ]
    .map(str::to_owned);
    let program = Program {
        path: path.to_owned(),
        name: path
            .file_name()
            .map_or_else(|| kind.to_owned(), |name| name.to_string_lossy().into_owned()),
        arguments: words.to_vec(),
        environment: Vec::new(),
        log: out.join(LOG_FILE),
    };
    let mut broker = launch(&program, port, events).await?;
    let mut connection = connection(&broker.client)
        .await
        .map_err(|error| unreachable(&broker.url, &error))?;
    let info = redis::cmd("INFO")
        .arg("server")
        .query_async::<String>(&mut connection)
        .await;
    broker.facts = info.map_or_else(|_| BrokerFacts::default(), |info| identify(&info));
    broker.facts.configuration = configuration(&mut connection).await;
    Ok(broker)
}

async fn launch_embedded(
    out: &Path,
    events: &mpsc::UnboundedSender<ChildEvent>,
) -> Result<MessageBroker, EnvironmentError> {
    let port = free_tcp_port()?;
    let arguments = ["broker", "--listen", &format!("127.0.0.1:{port}")]
        .map(str::to_owned)
        .to_vec();
    let program = Program::own(arguments, out.join(LOG_FILE));
    let mut broker = launch(&program, port, events).await?;
    broker.facts = BrokerFacts {
        kind: "embedded".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..BrokerFacts::default()
    };
    Ok(broker)
}

/// Starts a broker's process and waits until it answers.
async fn launch(
    program: &Program,
    port: u16,
    events: &mpsc::UnboundedSender<ChildEvent>,
) -> Result<MessageBroker, EnvironmentError> {
    let name = program.path.display();
    let child = Child::start(program, BROKER_TAG, events.clone()).map_err(|error| {
        EnvironmentError::new(format!("the broker `{name}` could not be started: {error}"))
    })?;
    let url = format!("redis://127.0.0.1:{port}");
    let client = Client::open(url.as_str()).expect("a URL that was made here is well formed");
    let deadline = Instant::now() + START_LIMIT;
    while let Err(error) = ping(&client).await {
        if Instant::now() >= deadline || !child.is_running() {
            let said = tail(&program.log, 5);
            return Err(EnvironmentError::new(format!(
                "the broker `{name}` does not answer at {url}: {error}; the end of {}:\n{said}",
                program.log.display()
            )));
        }
        tokio::time::sleep(START_POLL).await;
    }
    Ok(MessageBroker {
        url,
        facts: BrokerFacts::default(),
        child: Some(child),
        client,
        borrowed: false,
        keys: Vec::new(),
    })
}

/// The keys of a cluster with this prefix, in which only `*?[]^` would be read as a pattern.
fn key_patterns(prefix: &str) -> Vec<String> {
    let escape = |character: char| {
        let special = matches!(character, '*' | '?' | '[' | ']' | '^' | '\\');
        special.then_some('\\').into_iter().chain([character])
    };
    let escaped: String = prefix.chars().flat_map(escape).collect();
    CLUSTER_KEYS
        .iter()
        .map(|keys| format!("{escaped}{keys}"))
        .collect()
}

async fn ping(client: &Client) -> Result<(), RedisError> {
    redis::cmd("PING")
        .query_async::<()>(&mut connection(client).await?)
        .await
}

async fn connection(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn unreachable(url: &str, error: &RedisError) -> EnvironmentError {
    let refused = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
        || error.kind() == redis::ErrorKind::AuthenticationFailed;
    EnvironmentError::new(if refused {
        format!(
            "the broker at {url} refuses the user or password of the URL: {error}; expected redis://user:password@host:port"
        )
    } else {
        format!(
            "no broker answers at {url}: {error}; start one there, or use `--redis auto` to have one started for the run"
        )
    })
}

/// Kind and version from `INFO server`. Valkey shows a `redis_version` for the sake of old clients.
fn identify(info: &str) -> BrokerFacts {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
    };
    let (kind, version) = match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => ("valkey", version),
        (None, Some(version)) => ("redis", version),
        (None, None) => ("unknown", ""),
    };
    BrokerFacts {
        kind: kind.to_owned(),
        version: version.to_owned(),
        ..BrokerFacts::default()
    }
}

/// The URL without its password, for messages.
fn shown_url(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// A port that is free now; the broker takes it a moment later.
fn free_tcp_port() -> Result<u16, EnvironmentError> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port())
        .map_err(|error| EnvironmentError::new(format!("no free TCP port on 127.0.0.1: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(choice: &RedisChoice, out: &Path) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (events, _kept) = mpsc::unbounded_channel();
        runtime.block_on(async {
            let broker = MessageBroker::start(choice, "", out, &events).await;
            broker
                .map(|broker| broker.facts.kind)
                .map_err(|error| error.to_string())
        })
    }

    #[test]
    fn a_url_at_which_nobody_answers_is_one_clear_sentence() {
        let port = free_tcp_port().unwrap();
        let url = format!("redis://user:secret@127.0.0.1:{port}");
        let message = start(&RedisChoice::Url(url), Path::new("/")).unwrap_err();
        assert!(
            message.starts_with(&format!("no broker answers at redis://…@127.0.0.1:{port}:")),
            "{message}"
        );
        assert!(message.contains("--redis auto"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn a_word_that_is_no_url_is_refused_with_the_expected_form() {
        let message = start(&RedisChoice::Url("six379".to_owned()), Path::new("/")).unwrap_err();
        assert!(message.contains("expected redis://"), "{message}");
    }

    #[test]
    fn a_borrowed_broker_with_another_clusters_keys_is_refused_and_the_runs_own_are_cleared() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (events, _kept) = mpsc::unbounded_channel();
        let test = async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("redis://{}", listener.local_addr().unwrap());
            let forever = std::future::pending();
            tokio::task::spawn_local(broker::serve(listener, broker::ServerOptions::default(), forever));
            let choice = RedisChoice::Url(url.clone());
            let out = Path::new("/");
            let borrowed = MessageBroker::start(&choice, "", out, &events).await.unwrap();
            let mut connection = connection(&borrowed.client()).await.unwrap();
            for key in ["{m}members", "{pac}e:dev-1", "mine"] {
                let mut set = redis::cmd("HSET");
                set.arg(key).arg("a").arg("b");
                set.query_async::<()>(&mut connection).await.unwrap();
            }
            let refused = MessageBroker::start(&choice, "", out, &events)
                .await
                .err()
                .unwrap();
            assert!(
                refused
                    .to_string()
                    .contains("another cluster's keys (`{m}members`)"),
                "{refused}"
            );
            borrowed.clear().await.unwrap();
            let (_, left) = scan(&mut connection, 0, "*").await.unwrap();
            assert_eq!(left, ["mine"]);
            assert!(MessageBroker::start(&choice, "", out, &events).await.is_ok());
        };
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn a_prefix_is_taken_literally() {
        assert_eq!(key_patterns("a*"), ["a\\*{m}*", "a\\*{p[0-9a-f][0-9a-f]}*"]);
    }

    #[test]
    fn the_kind_is_read_from_the_brokers_own_words() {
        let facts =
            identify("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n");
        assert_eq!((facts.kind.as_str(), facts.version.as_str()), ("valkey", "8.0.1"));
        let facts = identify("# Server\r\nredis_version:7.0.15\r\n");
        assert_eq!((facts.kind.as_str(), facts.version.as_str()), ("redis", "7.0.15"));
    }
}
