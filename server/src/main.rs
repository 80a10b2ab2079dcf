//! Starts the cluster server.

/// Scripts and messages are many small blocks; the harness measures instances with the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    server::cli::main_with(std::env::args_os())
}
