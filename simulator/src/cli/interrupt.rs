//! Ctrl-C and SIGTERM for what runs without an event loop: a thread waits for them, and a flag says that one came.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::real::Interrupts;

/// From now on these signals raise the flag and do not end the process, until a second one comes.
pub fn listen() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let mut interrupts = {
        let _inside = runtime.enter();
        Interrupts::listen()?
    };
    let raised = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&raised);
    thread::spawn(move || {
        runtime.block_on(interrupts.recv());
        flag.store(true, Ordering::Relaxed);
        runtime.block_on(interrupts.recv());
        // Somebody is in a hurry: not even the report is wanted.
        std::process::exit(130);
    });
    Ok(raised)
}
