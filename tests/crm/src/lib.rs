//! What a user may rely on of `crm-sync` is in `tests/`: this library is empty.
