//! archive-batch
