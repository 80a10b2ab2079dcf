//! Starts the simulator.

mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> std::process::ExitCode {
    simulator::cli::main_with(std::env::args_os().collect())
}
