//! A Redis subset.
