//! What a user may rely on, through the compiled components.
