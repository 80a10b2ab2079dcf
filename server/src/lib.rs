//! The cluster server.
