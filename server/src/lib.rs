//! The cluster server: LwM2M devices in the south, a back end on Redis pub/sub in the north, other instances beside it.
//!
//! [`instance`] is the state machine, [`link`] its two connections to the broker as another, [`store`] the scripts that
//! keep the ticket contract, [`northbound`] the JSON, [`net`] the sockets, [`cli`] the command line.

pub mod cli;
pub mod instance;
pub mod link;
pub mod member;
pub mod mutant;
pub mod net;
pub mod northbound;
pub mod partition;
pub mod peer;
pub mod store;
