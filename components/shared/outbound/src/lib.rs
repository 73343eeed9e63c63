//! Outbound HTTP and time, as the libraries see them: one small trait each.
