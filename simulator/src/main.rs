//! Starts the simulator.

fn main() -> std::process::ExitCode {
    simulator::cli::main_with(std::env::args_os().collect())
}
