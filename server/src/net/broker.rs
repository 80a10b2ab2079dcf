//! The two connections to the broker: one for calls, in order, one for subscriptions. Both come back by themselves.

use crate::mutant::Planted;
use crate::store::{Call, Reply, Script, Value};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesOrdered, Stream, StreamExt};
use redis::aio::{MultiplexedConnection, PubSubStream};
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisResult};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Something that happened on a connection.
pub enum Happening {
    CommandConnected,
    CommandLost,
    SubscriberConnected,
    SubscriberLost,
    Message(redis::Msg),
    Reply(u64, Result<Reply, String>),
}

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers, or refuses.
    #[error("no Redis at {url}: {source}; start one there, or name another with -r")]
    Unreachable {
        /// Where it was looked for, without the password.
        url: String,
        /// What the client library says.
        source: redis::RedisError,
    },
    /// It forgets keys when it is full.
    #[error(
        "the Redis at {url} has maxmemory-policy {policy}, which throws registrations and tickets away when memory is \
         short; expected noeviction: CONFIG SET maxmemory-policy noeviction"
    )]
    Evicting {
        /// Where.
        url: String,
        /// Its policy.
        policy: String,
    },
}

/// Asks the store at `url` whether it is there and keeps what it is given.
pub async fn check_store(client: &Client) -> Result<(), ConnectError> {
    let url = client.get_connection_info().addr().to_string();
    let settings = connection_settings().set_response_timeout(Some(Duration::from_secs(5)));
    let connect = client.get_multiplexed_async_connection_with_config(&settings);
    let unreachable = |source| ConnectError::Unreachable {
        url: url.clone(),
        source,
    };
    let mut connection = connect.await.map_err(unreachable)?;
    redis::cmd("PING")
        .query_async::<String>(&mut connection)
        .await
        .map_err(unreachable)?;
    let policy: RedisResult<Vec<String>> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async(&mut connection)
        .await;
    match policy.as_deref() {
        Ok([_, policy]) if policy != "noeviction" => Err(ConnectError::Evicting {
            url,
            policy: policy.clone(),
        }),
        Ok([_, _]) => Ok(()),
        _ => {
            tracing::warn!(url, "could not read maxmemory-policy; it has to be noeviction");
            Ok(())
        }
    }
}

fn connection_settings() -> AsyncConnectionConfig {
    // How long a reply may take is the lease's business, not the connection's.
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(None)
}

type Answered = (Vec<u64>, RedisResult<Vec<redis::Value>>);
type Connected = (MultiplexedConnection, Vec<String>);

/// Both connections.
pub struct Broker {
    client: Client,
    planted: Planted,
    command: Link<Connected>,
    in_flight: FuturesOrdered<BoxFuture<'static, Answered>>,
    batch: Pipeline,
    batch_calls: Vec<u64>,
    subscriber: Link<PubSubStream>,
    channels: Vec<String>,
    happenings: VecDeque<Happening>,
}

enum Link<T> {
    Idle,
    Connecting(BoxFuture<'static, RedisResult<T>>),
    Up(T),
}

const RETRY: Duration = Duration::from_millis(100);
/// How long a new connection may take until it is usable. A broker that hangs must not be waited for: it may be gone.
const PATIENCE: Duration = Duration::from_secs(5);

async fn in_time<T>(connect: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "the broker does not answer");
    tokio::time::timeout(PATIENCE, connect).await.map_err(late)?
}

impl Broker {
    /// Connections to the broker of `client`; the one for calls is wanted at once.
    pub fn new(client: Client, planted: Planted) -> Self {
        let command = Link::Connecting(connect_command(client.clone(), planted, Duration::ZERO));
        Broker {
            client,
            planted,
            command,
            in_flight: FuturesOrdered::new(),
            batch: redis::pipe(),
            batch_calls: Vec::new(),
            subscriber: Link::Idle,
            channels: Vec::new(),
            happenings: VecDeque::new(),
        }
    }

    /// Adds a call to the batch of this wake-up.
    pub fn call(&mut self, call: &Call) {
        let Link::Up((_, hashes)) = &self.command else {
            return;
        };
        let command = self
            .batch
            .cmd("EVALSHA")
            .arg(&hashes[call.script.index()])
            .arg(1)
            .arg(&call.key);
        for arg in &call.args {
            command.arg(arg.as_slice());
        }
        self.batch_calls.push(call.id);
    }

    /// Sends the batch: one write.
    pub fn flush(&mut self) {
        if self.batch_calls.is_empty() {
            return;
        }
        let calls = std::mem::take(&mut self.batch_calls);
        let batch = std::mem::replace(&mut self.batch, redis::pipe());
        let Link::Up((connection, _)) = &self.command else {
            return;
        };
        let mut connection = connection.clone();
        let answered = async move {
            let count = calls.len();
            let replies = connection.send_packed_commands(&batch, 0, count).await;
            (calls, replies)
        };
        self.in_flight.push_back(answered.boxed());
    }

    /// Subscribes to `channels` on a new connection.
    pub fn subscribe(&mut self, channels: Vec<String>) {
        self.channels = channels;
        self.subscriber = Link::Connecting(connect_subscriber(
            self.client.clone(),
            self.channels.clone(),
            Duration::ZERO,
        ));
    }

    /// Drops both connections with all that waits in them; the one for calls comes back.
    pub fn reset(&mut self) {
        self.subscriber = Link::Idle;
        self.happenings.clear();
        self.drop_command(Duration::ZERO);
    }

    fn drop_command(&mut self, delay: Duration) {
        self.in_flight = FuturesOrdered::new();
        self.batch = redis::pipe();
        self.batch_calls.clear();
        self.command = Link::Connecting(connect_command(self.client.clone(), self.planted, delay));
    }

    /// Waits for the next thing that happens.
    pub async fn next(&mut self) -> Happening {
        self.flush();
        poll_fn(|context| self.poll(context)).await
    }

    /// What is there already, without waiting.
    pub fn take_ready(&mut self) -> Option<Happening> {
        self.next().now_or_never()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Happening> {
        if let Some(happening) = self.happenings.pop_front() {
            return Poll::Ready(happening);
        }
        if let Poll::Ready(happening) = self.poll_command(context) {
            return Poll::Ready(happening);
        }
        self.poll_subscriber(context)
    }

    fn poll_command(&mut self, context: &mut Context<'_>) -> Poll<Happening> {
        match &mut self.command {
            Link::Connecting(future) => match std::task::ready!(future.poll_unpin(context)) {
                Ok(connected) => {
                    self.command = Link::Up(connected);
                    Poll::Ready(Happening::CommandConnected)
                }
                Err(error) => {
                    tracing::warn!("no connection to the broker: {error}; trying again");
                    self.drop_command(RETRY);
                    // The new attempt has to be polled once to be woken by it.
                    self.poll_command(context)
                }
            },
            Link::Up(_) if self.in_flight.is_empty() => Poll::Pending,
            Link::Up(_) => match std::task::ready!(self.in_flight.poll_next_unpin(context)) {
                Some((calls, Ok(values))) => self.replies(calls, values),
                Some((_, Err(error))) => Poll::Ready(self.command_lost(&error.to_string())),
                None => Poll::Pending,
            },
            Link::Idle => Poll::Pending,
        }
    }

    fn command_lost(&mut self, error: &str) -> Happening {
        tracing::warn!("the connection to the broker is lost: {error}");
        self.drop_command(RETRY);
        Happening::CommandLost
    }

    fn replies(&mut self, calls: Vec<u64>, values: Vec<redis::Value>) -> Poll<Happening> {
        let lost_scripts = |value: &redis::Value| matches!(value, redis::Value::ServerError(error) if error.code() == "NOSCRIPT");
        if values.iter().any(lost_scripts) {
            // Somebody flushed the scripts. A new connection loads them before anything else runs on it.
            return Poll::Ready(self.command_lost("the broker forgot the scripts"));
        }
        let replies = calls.into_iter().zip(values.into_iter().map(reply));
        self.happenings
            .extend(replies.map(|(call, reply)| Happening::Reply(call, reply)));
        self.happenings.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_subscriber(&mut self, context: &mut Context<'_>) -> Poll<Happening> {
        match &mut self.subscriber {
            Link::Idle => Poll::Pending,
            Link::Connecting(future) => match std::task::ready!(future.poll_unpin(context)) {
                Ok(stream) => {
                    self.subscriber = Link::Up(stream);
                    Poll::Ready(Happening::SubscriberConnected)
                }
                Err(error) => {
                    tracing::warn!("no subscription at the broker: {error}; trying again");
                    self.subscribe_again();
                    self.poll_subscriber(context)
                }
            },
            Link::Up(stream) => match std::task::ready!(Pin::new(stream).poll_next(context)) {
                Some(message) => Poll::Ready(Happening::Message(message)),
                None => {
                    self.subscribe_again();
                    Poll::Ready(Happening::SubscriberLost)
                }
            },
        }
    }

    fn subscribe_again(&mut self) {
        let connect = connect_subscriber(self.client.clone(), self.channels.clone(), RETRY);
        self.subscriber = Link::Connecting(connect);
    }
}

/// Connects, and loads all scripts before anything else.
fn connect_command(
    client: Client,
    planted: Planted,
    delay: Duration,
) -> BoxFuture<'static, RedisResult<Connected>> {
    async move {
        tokio::time::sleep(delay).await;
        in_time(async {
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&connection_settings())
                .await?;
            let mut load = redis::pipe();
            for script in Script::ALL {
                load.cmd("SCRIPT")
                    .arg("LOAD")
                    .arg(planted.source(script).as_ref());
            }
            let hashes = load.query_async(&mut connection).await?;
            Ok((connection, hashes))
        })
        .await
    }
    .boxed()
}

fn connect_subscriber(
    client: Client,
    channels: Vec<String>,
    delay: Duration,
) -> BoxFuture<'static, RedisResult<PubSubStream>> {
    async move {
        tokio::time::sleep(delay).await;
        in_time(async {
            let mut connection = client.get_async_pubsub().await?;
            for channel in channels {
                connection.subscribe(channel).await?;
            }
            Ok(connection.into_on_message())
        })
        .await
    }
    .boxed()
}

fn reply(value: redis::Value) -> Result<Reply, String> {
    match value {
        redis::Value::ServerError(error) => Err(error.to_string()),
        value => Reply::new(convert(value)).ok_or_else(|| "a reply without a status".to_owned()),
    }
}

fn convert(value: redis::Value) -> Value {
    match value {
        redis::Value::Int(number) => Value::Integer(number),
        redis::Value::BulkString(bytes) => Value::Bytes(bytes),
        redis::Value::SimpleString(text) => Value::Bytes(text.into_bytes()),
        redis::Value::Okay => Value::Bytes(b"OK".to_vec()),
        redis::Value::Array(values) => Value::Array(values.into_iter().map(convert).collect()),
        _ => Value::Nil,
    }
}
