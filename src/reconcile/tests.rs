//! Laws of the coordinator's decisions.
