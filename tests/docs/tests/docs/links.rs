//! What a document points to is there.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use docs_tests::{Document, documents};

/// Endings that make inline code the name of a file.
const FILES: [&str; 10] = [
    ".rs", ".sql", ".md", ".json", ".toml", ".yaml", ".yml", ".env", ".service", "/run",
];

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let documents = documents()?;
    for document in &documents {
        for link in document.links() {
            if link.starts_with("https://") || link.starts_with("http://127.0.0.1") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                PathBuf::from(document.path)
            } else {
                beside(document, path)
            };
            assert!(
                stage::root().join(&target).exists(),
                "{}: {link} leads nowhere",
                document.path
            );
            if anchor.is_empty() {
                continue;
            }
            let there = documents
                .iter()
                .find(|other| Path::new(other.path) == target);
            let anchors = there.map(Document::anchors).unwrap_or_default();
            assert!(
                anchors.iter().any(|known| known == anchor),
                "{}: {link}: no such heading among {anchors:?}",
                document.path
            );
        }
    }
    Ok(())
}

#[test]
fn no_heading_stands_twice_in_a_document() -> Result<()> {
    for document in documents()? {
        let mut anchors = document.anchors();
        anchors.sort();
        let all = anchors.len();
        anchors.dedup();
        assert_eq!(all, anchors.len(), "{}", document.path);
    }
    Ok(())
}

#[test]
fn every_file_that_is_named_exists() -> Result<()> {
    let files = files(&stage::root())?;
    for document in documents()? {
        for code in document.inline_code() {
            let looks_like_a_file = FILES.iter().any(|end| code.ends_with(end))
                && code
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
                && !code.starts_with('/');
            if !looks_like_a_file {
                continue;
            }
            let wanted = Path::new(&code);
            assert!(
                files.iter().any(|file| file.ends_with(wanted)),
                "{}: there is no {code}",
                document.path
            );
        }
    }
    Ok(())
}

/// A path from a document's folder, as one from the project's.
fn beside(document: &Document, path: &str) -> PathBuf {
    let mut target = PathBuf::new();
    let folder = Path::new(document.path).parent().unwrap_or(Path::new(""));
    for part in folder.join(path).components() {
        match part {
            Component::ParentDir => {
                target.pop();
            }
            part => target.push(part),
        }
    }
    target
}

/// The project's files, without what is built.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let built = path.ends_with("target") || path.ends_with(".git");
        if path.is_dir() && !built {
            found.extend(files(&path)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}
