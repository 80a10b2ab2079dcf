//! Starts the simulator.

/// The same as in the binary of the package `server`, so that what an instance costs here is what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    simulator::cli::main_with(std::env::args_os().collect())
}
