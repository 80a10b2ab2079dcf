//! The cluster server.

pub mod northbound;
