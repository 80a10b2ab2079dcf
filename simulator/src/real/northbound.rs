//! The back end's two connections to the broker: one to publish requests, one to hear answers and registration events.
//!
//! In: payloads for the request channel. Out: what is heard, and whether both connections stand. A lost connection is
//! made again with a growing delay. Pub/sub keeps nothing for the absent, so after each reconnection the back end has
//! to ask again; what was waiting to be published is dropped, because the back end publishes it again itself.
//!
//! They live on a thread of their own, so that what is heard has the time at which it came, however busy the run's loop is.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub, PubSubStream};
use redis::{AsyncConnectionConfig, Client, Msg, RedisResult};
use tokio::sync::mpsc;

use crate::backend::{Backoff, NorthboundEvent};
use crate::dialect::{Channel, Channels};

/// A reply that takes longer means a broken connection. Far above the broker's worst stall on a busy machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection attempt may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that wait for the run loop; beyond it the connection itself waits.
const WAITING_MESSAGES: usize = 16_384;
/// Publications that go into one write.
const MAX_BATCH: usize = 256;

/// The event that a message is, if its channel is one of the cluster's.
fn classify(channels: &Channels, message: &Msg) -> Option<NorthboundEvent> {
    let channel = channels.of(message.get_channel_name().as_bytes())?;
    NorthboundEvent::heard(channel, message.get_payload_bytes())
}

/// What was heard, and when.
#[derive(Debug)]
pub struct Heard {
    /// When it came.
    pub at: Instant,
    /// What.
    pub event: NorthboundEvent,
}

impl Heard {
    fn now(event: NorthboundEvent) -> Self {
        Heard {
            at: Instant::now(),
            event,
        }
    }
}

/// The running connections. Dropping it ends them.
pub struct Northbound {
    publications: mpsc::UnboundedSender<Arc<str>>,
    events: mpsc::Receiver<Heard>,
}

impl Northbound {
    /// Starts connecting.
    pub fn start(client: Client, channels: Channels) -> io::Result<Self> {
        let (publications, to_publish) = mpsc::unbounded_channel();
        let (heard, events) = mpsc::channel(WAITING_MESSAGES);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connections = keep_connected(client, channels, to_publish, heard);
        let thread = thread::Builder::new().name("northbound".to_owned());
        thread.spawn(move || runtime.block_on(connections))?;
        Ok(Northbound { publications, events })
    }

    /// Publishes on the request channel. The back end bounds how much: it publishes nothing while disconnected.
    pub fn publish(&self, payload: Arc<str>) {
        let _ = self.publications.send(payload);
    }

    /// Waits for the next event.
    pub async fn recv(&mut self) -> Option<Heard> {
        self.events.recv().await
    }

    /// The next event, if one is there already.
    pub fn try_recv(&mut self) -> Option<Heard> {
        self.events.try_recv().ok()
    }
}

async fn keep_connected(
    client: Client,
    channels: Channels,
    mut publications: mpsc::UnboundedReceiver<Arc<str>>,
    heard: mpsc::Sender<Heard>,
) {
    let mut backoff = Backoff::default();
    let request = channels.name(Channel::Request);
    while !heard.is_closed() {
        if let Ok((publisher, stream)) = connect(&client, &channels).await {
            backoff.succeeded();
            while publications.try_recv().is_ok() {}
            if heard.send(Heard::now(NorthboundEvent::Connected)).await.is_err() {
                return;
            }
            let reason = tokio::select! {
                reason = publish(publisher, &request, &mut publications) => reason,
                reason = hear(stream, &channels, &heard) => reason,
            };
            if heard
                .send(Heard::now(NorthboundEvent::Disconnected { reason }))
                .await
                .is_err()
            {
                return;
            }
        }
        tokio::time::sleep(backoff.failed()).await;
    }
}

async fn connect(client: &Client, channels: &Channels) -> RedisResult<(MultiplexedConnection, PubSubStream)> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let publisher = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let mut subscriber: PubSub = client.get_async_pubsub().await?;
    // Confirmed when it returns.
    subscriber.subscribe(&channels.heard()).await?;
    Ok((publisher, subscriber.into_on_message()))
}

/// Publishes until the connection breaks: what has gathered during one round trip goes out with the next.
async fn publish(
    mut connection: MultiplexedConnection,
    channel: &str,
    publications: &mut mpsc::UnboundedReceiver<Arc<str>>,
) -> String {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while publications.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let mut pipeline = redis::pipe();
        for payload in batch.drain(..) {
            pipeline
                .cmd("PUBLISH")
                .arg(channel)
                .arg(payload.as_ref())
                .ignore();
        }
        if let Err(error) = pipeline.query_async::<()>(&mut connection).await {
            return error.to_string();
        }
    }
    "the run is over".to_owned()
}

async fn hear(mut stream: PubSubStream, channels: &Channels, heard: &mpsc::Sender<Heard>) -> String {
    while let Some(message) = stream.next().await {
        let Some(event) = classify(channels, &message) else {
            continue;
        };
        if heard.send(Heard::now(event)).await.is_err() {
            return "the run is over".to_owned();
        }
    }
    "the broker closed the subscription".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RegistrationChannel;
    use std::net::SocketAddr;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;
    use tokio::task::{JoinHandle, LocalSet};

    /// The embedded broker at this address, until the sender is used or dropped.
    async fn broker_at(address: SocketAddr) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::task::spawn_local(async move {
            let stopped = async { drop(stopped.await) };
            broker::serve(listener, broker::ServerOptions::default(), stopped)
                .await
                .unwrap();
        });
        (address, stop, serving)
    }

    async fn event(northbound: &mut Northbound) -> Option<NorthboundEvent> {
        northbound.recv().await.map(|heard| heard.event)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    async fn publish(address: SocketAddr, channel: &str, message: &str) {
        let client = Client::open(format!("redis://{address}")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("PUBLISH")
            .arg(channel)
            .arg(message)
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
    }

    #[test]
    fn answers_and_registration_events_are_heard_on_the_channels_of_the_prefix() {
        run(async {
            let (address, _stop, _serving) = broker_at("127.0.0.1:0".parse().unwrap()).await;
            let client = Client::open(format!("redis://{address}")).unwrap();
            let mut northbound = Northbound::start(client, Channels::new("x:")).unwrap();
            assert!(matches!(
                event(&mut northbound).await,
                Some(NorthboundEvent::Connected)
            ));
            publish(address, "LESHAN_RESP", "another cluster's").await;
            publish(address, "x:LESHAN_RESP", "an answer").await;
            publish(address, "x:LESHAN_REG_DEL", "an event").await;
            assert!(
                matches!(event(&mut northbound).await, Some(NorthboundEvent::Response(text)) if text == "an answer")
            );
            let Some(NorthboundEvent::Registration(channel, text)) = event(&mut northbound).await else {
                panic!("a registration event")
            };
            assert_eq!((channel, text.as_str()), (RegistrationChannel::Del, "an event"));
        });
    }

    #[test]
    fn a_broken_connection_is_noticed_and_made_again_and_then_requests_go_out_again() {
        run(async {
            let (address, stop, serving) = broker_at("127.0.0.1:0".parse().unwrap()).await;
            let client = Client::open(format!("redis://{address}")).unwrap();
            let mut northbound = Northbound::start(client.clone(), Channels::new("")).unwrap();
            assert!(matches!(
                event(&mut northbound).await,
                Some(NorthboundEvent::Connected)
            ));
            drop(stop);
            serving.await.unwrap();
            assert!(matches!(
                event(&mut northbound).await,
                Some(NorthboundEvent::Disconnected { .. })
            ));
            let (_, _stop, _serving) = broker_at(address).await;
            assert!(matches!(
                event(&mut northbound).await,
                Some(NorthboundEvent::Connected)
            ));
            let mut listener = client.get_async_pubsub().await.unwrap();
            listener.subscribe("LESHAN_REQ").await.unwrap();
            northbound.publish("a request".into());
            let message = listener.on_message().next().await.unwrap();
            assert_eq!(message.get_payload_bytes(), b"a request");
        });
    }
}
