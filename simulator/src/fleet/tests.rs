//! The fleet, with a hand-held clock.
