//! Who may call: service keys and user tokens.
