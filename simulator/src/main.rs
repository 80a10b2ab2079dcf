//! Starts the simulator.

/// Scripts make and drop many small values: with this allocator they take a quarter less time than with that of glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    simulator::cli::main_with(std::env::args_os().collect())
}
