//! Every seed of every target, those of former findings among them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fuzz::TARGETS;

fn folders(of: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn no_seed_breaks_what_must_hold() {
    for (name, target) in TARGETS {
        let seeds = folders(&format!("seeds/{name}"));
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            let path = format!("{}/seeds/{name}/{seed}", env!("CARGO_MANIFEST_DIR"));
            // Told before, so that a finding names its seed.
            println!("{name}/{seed}");
            target(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_target_has_seeds_and_a_fuzz_target_and_nothing_else_has() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders("seeds"), names);
    let sources: BTreeSet<String> = names.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(folders("targets/fuzz_targets"), sources);
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    for name in names {
        let path = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path}");
        let source = fs::read_to_string(project.join(&path)).unwrap();
        assert!(source.contains(&format!("::{name}(data)")), "{path}");
    }
}
