//! The command line of the server.

use crate::instance::{Config, Dialect, Instance, Limits};
use crate::member::InstanceId;
#[cfg(feature = "mutants")]
use crate::mutant::Mutant;
use crate::mutant::Planted;
use crate::net;
use crate::store::protocol::times::LEASES;
use clap::{Parser, ValueEnum};
use lwm2m::coap::TransmissionParameters;
use rand::TryRng;
use rand::rngs::SysRng;
use std::ffi::OsString;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

/// One instance of an LwM2M server cluster.
///
/// Devices register at its CoAP address; back ends publish requests on the Redis channel LESHAN_REQ and read answers on
/// LESHAN_RESP. All instances that use one Redis (and one channel prefix) are a cluster: any of them can die at any
/// time, and the others go on with its devices and its requests.
///
/// When it is a member it prints one line on standard output: `ready ID#INCARNATION coap=ADDRESS`. Logs go to standard
/// error.
#[derive(Parser, Debug)]
#[command(name = "server", version)]
struct Arguments {
    /// The name of this instance, unique in the cluster: letters, digits, `.`, `_`, `-`.
    #[arg(short = 'n', long = "id", value_name = "ID")]
    id: InstanceId,

    /// The address at which devices reach it over CoAP; 0 as port takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5683")]
    coap: SocketAddr,

    /// The address that registrations name (`regAddr`, `regPort`), if it differs from --coap.
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<SocketAddr>,

    /// The Redis that the cluster shares: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE].
    #[arg(
        short = 'r',
        long,
        value_name = "URL",
        env = "REDIS_URL",
        default_value = "redis://127.0.0.1:6379"
    )]
    redis: String,

    /// How long the cluster waits for a sign of life before it takes over, the same for all instances: 200ms to 60s.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = lease)]
    lease: Duration,

    /// Stands before every channel and key: separates clusters in one Redis (database numbers do not separate
    /// channels).
    #[arg(long, value_name = "PREFIX", default_value = "", value_parser = prefix)]
    channel_prefix: String,

    /// The shapes of the JSON that is emitted, the same for all instances.
    #[arg(long, value_enum, default_value_t = DialectName::Wiki)]
    dialect: DialectName,

    /// How long the outcome of a ticket is remembered for repeats, the same for all instances: at least three leases and 1.5 s.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = retention)]
    ticket_retention: Duration,

    /// How many outcomes are remembered at most, in all.
    #[arg(long, value_name = "COUNT", default_value_t = 1_048_576)]
    retained_outcomes: usize,

    /// Requests at a time with one device (RFC 7252, 4.7), the same for all instances.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    nstart: u16,

    /// Requests that may wait for one device.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    queue_per_endpoint: usize,

    /// ACK_TIMEOUT (RFC 7252, 4.8): the wait before the first retransmission to a device.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    ack_timeout: Duration,

    /// MAX_RETRANSMIT (RFC 7252, 4.8).
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=20))]
    max_retransmit: u8,

    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,server=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,

    /// A bug to plant.
    #[cfg(feature = "mutants")]
    #[arg(long, hide = true, value_enum)]
    mutant: Option<Mutant>,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum DialectName {
    /// The shapes of the wiki page, with the additions of the ticket contract.
    Wiki,
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("expected a number with a unit (ms, s, m, h), such as 250ms or 5m, found `{text}`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let number: u64 = text[..digits].parse().map_err(|_| expected())?;
    let millis = match &text[digits..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let millis = millis
        .and_then(|unit| number.checked_mul(unit))
        .ok_or_else(expected)?;
    Ok(Duration::from_millis(millis))
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if (LEASES.0..=LEASES.1).contains(&lease) {
        Ok(lease)
    } else {
        Err(format!("expected 200ms to 60s, found {text}"))
    }
}

fn retention(text: &str) -> Result<Duration, String> {
    let retention = duration(text)?;
    if retention.is_zero() {
        return Err("expected more than nothing: an outcome that is not remembered is no outcome".to_owned());
    }
    Ok(retention)
}

fn prefix(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}' | '"' | '\\');
    if text.len() <= 64 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(
            "expected at most 64 printable ASCII characters without braces, quotes and backslashes"
                .to_owned(),
        )
    }
}

/// Runs the server with these arguments, the program's name first.
pub fn main_with(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            if error.use_stderr() {
                eprintln!("server: {}", one_line(&error.to_string()));
            } else {
                // Help and version. A closed standard output is no reason to complain.
                let _ = error.print();
            }
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// What is wrong with the command line, without the usage that `--help` shows anyway.
fn one_line(error: &str) -> String {
    let said = error
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty());
    let said: Vec<&str> = said.collect();
    let said = said.join(" ");
    format!("{}; --help explains", said.trim_start_matches("error: "))
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&arguments.log)
        .map_err(|error| anyhow::anyhow!("--log {}: {error}", arguments.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let client = redis::Client::open(arguments.redis.as_str())
        .map_err(|error| anyhow::anyhow!("-r: expected redis://HOST:PORT, {error}"))?;
    let socket = UdpSocket::bind(arguments.coap).map_err(|error| {
        anyhow::anyhow!(
            "--coap: can't listen at {}: {error}; is another server there?",
            arguments.coap
        )
    })?;
    let bound = socket.local_addr()?;
    let mut random = SysRng;
    let seed = random.try_next_u64()?;
    let nonce = format!("{:016x}", random.try_next_u64()?);
    let config = configure(arguments, bound, nonce);
    config.check().map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        net::check_store(&client).await?;
        let instance = Instance::new(config, seed);
        let ready = |member: &crate::member::Member| {
            // A closed standard output is no reason to stop serving.
            let _ = writeln!(std::io::stdout(), "ready {member} coap={bound}");
        };
        net::run(instance, socket, client, stop_signal(), ready).await?;
        Ok(())
    })
}

/// The configuration of the instance that these arguments (the program's name first) would start, for a world that has
/// no processes. `nonce` distinguishes the lives of one id.
pub fn configuration(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    nonce: String,
) -> Result<Config, clap::Error> {
    let arguments = Arguments::try_parse_from(arguments)?;
    let bound = arguments.coap;
    Ok(configure(arguments, bound, nonce))
}

#[cfg(feature = "mutants")]
fn planted(arguments: &Arguments) -> Planted {
    Planted::new(arguments.mutant)
}

#[cfg(not(feature = "mutants"))]
fn planted(_: &Arguments) -> Planted {
    Planted::default()
}

fn configure(arguments: Arguments, bound: SocketAddr, nonce: String) -> Config {
    let partitions = usize::from(crate::partition::PARTITIONS);
    Config {
        planted: planted(&arguments),
        id: arguments.id,
        nonce,
        address: arguments.advertise.unwrap_or(bound),
        lease: arguments.lease,
        prefix: arguments.channel_prefix,
        dialect: match arguments.dialect {
            DialectName::Wiki => Dialect::Wiki,
        },
        retention: arguments.ticket_retention,
        nstart: usize::from(arguments.nstart),
        parameters: TransmissionParameters {
            ack_timeout: arguments.ack_timeout,
            max_retransmit: arguments.max_retransmit,
            ..TransmissionParameters::default()
        },
        limits: Limits {
            queue_per_endpoint: arguments.queue_per_endpoint,
            retained_outcomes: (arguments.retained_outcomes / partitions).max(1),
            ..Limits::default()
        },
    }
}

/// Resolves at SIGTERM or SIGINT.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        _ => std::future::pending().await,
    }
}
