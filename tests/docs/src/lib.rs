//! The project's documents, read so that tests can hold them true: their links, blocks and tables, and
//! the HTTP interface that `components/openapi.json` describes.

mod contract;
mod markdown;

pub use contract::Contract;
pub use markdown::{Block, Document, Section};

use std::path::Path;

use anyhow::{Context, Result};

/// The documents for people, from the project's folder.
pub const DOCUMENTS: [&str; 5] = [
    "README.md",
    "CHANGELOG.md",
    "components/README.md",
    "components/deploy/README.md",
    "components/status-api/README.md",
];

/// A file of the project.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = stage::root().join(path);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// All documents.
pub fn documents() -> Result<Vec<Document>> {
    DOCUMENTS.into_iter().map(Document::open).collect()
}
