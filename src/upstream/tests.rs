//! Tests of an upstream on one core.
