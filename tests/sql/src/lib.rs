//! The promises of the project's `sql/` are in `tests/`: this library is empty.
