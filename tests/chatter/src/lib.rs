//! What a user may rely on of chatter-sync: see `tests/`.
