//! The targets over values that proptest makes: what looks right for long enough to get far in.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails"
)]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use fuzz::TARGETS;
use proptest::prelude::*;
use proptest::sample::Index;

/// The seeds of each target.
static SEEDS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    let seeds = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        // The largest ones are of findings about size, and too slow to be changed again and again.
        let read = paths.into_iter().map(|path| fs::read(path).unwrap());
        read.filter(|seed| seed.len() < 4096).collect()
    };
    TARGETS.iter().map(|(name, _)| seeds(name)).collect()
});

/// Pieces that mean something to one parser or another.
const WORDS: [&str; 48] = [
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "false",
    "true",
    "0",
    "-1",
    "1e999",
    "9223372036854775808",
    "\"id\":",
    "\"datas\":\"",
    "AAAA",
    "AA==",
    "=",
    "\r\n",
    "\n\n",
    "retry-after: 99999999999",
    "<",
    ">",
    "<b ",
    "</",
    "<!--",
    "<script>",
    "<p>",
    "<table>",
    "<svg>",
    "href=",
    "javascript:",
    "&#0;",
    "&colon;",
    "'",
    "`",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "ä",
    "Bearer ",
    ".",
    "+262142-12-31 23:59:59",
    "-262143-01-01 00:00:00",
];

/// A seed, changed: bytes cut out, and words, bytes or a part of another seed put in.
fn changed(target: usize) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..8),
        1 => (any::<Index>(), any::<Index>(), 1usize..40).prop_map(move |(seed, at, length)| {
            let seed = &seed.get(&SEEDS[target])[..];
            let at = at.index(seed.len().max(1));
            seed.iter().skip(at).take(length).copied().collect()
        }),
    ];
    let change = (any::<Index>(), 0usize..12, part);
    (any::<Index>(), prop::collection::vec(change, 0..6)).prop_map(move |(seed, changes)| {
        let mut bytes = seed.get(&SEEDS[target]).clone();
        for (at, cut, part) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, part);
        }
        bytes
    })
}

fn hold(target: usize, cases: u32) {
    let (_, run) = TARGETS[target];
    let config = |cases| ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config(cases), |(bytes in changed(target))| run(&bytes));
    proptest!(config(cases / 4), |(bytes in prop::collection::vec(any::<u8>(), 0..300))| run(&bytes));
}

#[test]
fn nothing_that_looks_right_breaks_what_must_hold() {
    // One thread each would only take the cores from other tests.
    for target in 0..TARGETS.len() {
        hold(target, 256);
    }
}
