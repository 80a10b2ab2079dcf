//! Starts the cluster server.

fn main() -> std::process::ExitCode {
    server::cli::main_with(std::env::args_os())
}
