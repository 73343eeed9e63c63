//! Failures as values: whose fault, what kind, whether and when to try again.
