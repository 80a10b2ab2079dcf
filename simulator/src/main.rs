//! Starts the simulator.
fn main() {}
