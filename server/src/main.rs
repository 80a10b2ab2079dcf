//! Starts the cluster server.
fn main() {}
