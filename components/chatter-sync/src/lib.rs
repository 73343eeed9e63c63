//! chatter-sync
