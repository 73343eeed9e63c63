//! The destination of facts: every SQL statement beside its type.
