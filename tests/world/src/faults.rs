//! Faults that can be set from outside, at any endpoint.
