//! No block of code stands in a document without something that holds it true.

use anyhow::Result;
use docs_tests::{documents, read};

/// What may stand in a document, and what holds it true.
const LANGUAGES: [&str; 8] = [
    "",    // A picture, or the tree of folders.
    "sh",  // See below.
    "sql", // `queries`, `from_zero` and `followed`.
    "json", "ini", // What `from_zero` and `interface` expect and use.
    "html", "jsx", // `pages`.
    "js",  // `pages` and `signed`.
];

/// Documents whose shell blocks a test of this crate runs.
const RUN_HERE: [&str; 3] = ["docs/setup.md", "docs/http.md", "docs/restore.md"];

#[test]
fn every_block_is_held_true_by_something() -> Result<()> {
    let ci = read(".ci/run")?;
    for document in documents()? {
        for (section, block) in document.blocks() {
            let place = format!("{}, {}: {}", document.path, section.title, block.text);
            assert!(
                LANGUAGES.contains(&block.language.as_str()),
                "{place} is of a language that nothing reads"
            );
            let run_here = RUN_HERE.contains(&document.path);
            if block.language != "sh" || block.not_run.is_some() || run_here {
                continue;
            }
            // The README's calls of cargo are held by tests/demo; of others CI's `cargo test` is all.
            for line in block.text.lines() {
                let known = line.starts_with("cargo demo")
                    || line.starts_with("cargo test")
                    || line.starts_with("export ");
                assert!(
                    known && ci.contains("cargo test"),
                    "{place}: nobody runs {line}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_block_that_is_not_run_says_why() -> Result<()> {
    for document in documents()? {
        for (section, block) in document.blocks() {
            let words = block.not_run.as_ref().map(|why| why.split(' ').count());
            assert!(
                words.is_none_or(|words| words >= 3),
                "{}, {}",
                document.path,
                section.title
            );
        }
    }
    Ok(())
}

/// `cargo chaos -- --minutes 5` hands `-- --minutes 5` to a program whose alias ends with `--` itself, and
/// clap takes none of that for options. The demo drops such a word, so that both habits work.
#[test]
fn what_is_written_after_an_alias_reaches_the_program() -> Result<()> {
    let config: toml::Table = toml::from_str(&read(".cargo/config.toml")?)?;
    let aliases = config["alias"].as_table().unwrap();
    assert!(aliases.contains_key("chaos") && aliases.contains_key("bench-all"));
    for (name, words) in aliases {
        let words = words.as_str().unwrap();
        assert_eq!(words.ends_with(" --"), name == "demo", "{name}: {words}");
    }
    Ok(())
}
