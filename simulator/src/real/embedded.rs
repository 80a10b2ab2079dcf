//! The embedded broker as a program: what the simulator runs when there is no Redis on the machine, by starting its own
//! executable again.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use broker::{RunOptions, ServerOptions};
use clap::Parser;

/// The Redis subset that a cluster needs. It ends at SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "broker", version)]
struct Arguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The directory of an append log, so that what was answered survives the end of the process; without it the data
    /// is in memory only. One broker a directory.
    #[arg(long, value_name = "DIRECTORY")]
    append_to: Option<PathBuf>,
}

/// Runs the embedded broker with these arguments, the program's name first. Prints `ready ADDRESS` when it serves.
pub fn embedded_broker(arguments: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let options = RunOptions {
        listen: arguments.listen,
        server: ServerOptions {
            append_to: arguments.append_to,
            ..ServerOptions::default()
        },
    };
    let announce = |address| {
        // Whoever started it may have closed the pipe: that is no reason not to serve.
        let _ = writeln!(std::io::stdout(), "ready {address}");
    };
    match broker::run(options, announce) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker: {error}");
            ExitCode::from(3)
        }
    }
}
