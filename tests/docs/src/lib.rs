//! The project's documents, read so that tests can hold them true: their links, blocks and tables, and
//! the HTTP interface that `components/openapi.json` describes.

mod contract;
mod markdown;

pub use contract::Contract;
pub use markdown::{Block, Document, Section};

use std::path::Path;

use anyhow::{Context, Result};

/// The documents for people, from the project's folder.
pub const DOCUMENTS: [&str; 20] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "components/deploy/README.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    "docs/card.md",
    "docs/conformance.md",
    "docs/cut-over.md",
    "docs/http.md",
    "docs/limits.md",
    "docs/moving-over.md",
    "docs/operations.md",
    "docs/queries.md",
    "docs/restore.md",
    "docs/settings.md",
    "docs/setup.md",
    "docs/threat-model.md",
    "docs/troubleshooting.md",
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
