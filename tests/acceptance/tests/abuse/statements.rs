//! No SQL is built from input: every statement is a text of the program.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::fs;
use std::path::{Path, PathBuf};

use stage::root;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Tests are no part of a component.
            if !path.ends_with("tests") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What is written when the program already runs, and may be used as a statement all the same.
const TABLES: &str = "components/shared/ledger/src/table.rs";

/// The compiler sees to it that a statement is a `&'static str`: this sees to it that there is one way
/// to Postgres, which takes no other, and that no text is made to last for ever to get by, but in one place.
#[test]
fn there_is_one_way_to_postgres_and_it_takes_statements_of_the_program_only() {
    const DOOR: &str = "components/shared/platform/src/postgres.rs";
    let mut paths = Vec::new();
    sources(&root().join("components"), &mut paths);
    assert!(paths.len() > 50, "only {} sources were found", paths.len());
    for path in paths {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        for trick in [".leak()", "::leak(", "transmute", "from_raw_parts"] {
            assert!(!text.contains(trick), "{shown} has {trick}");
        }
        if shown != TABLES {
            for cell in ["OnceLock", "LazyLock", "OnceCell", "LazyCell", "static mut"] {
                assert!(!text.contains(cell), "{shown} has {cell}");
            }
        }
        if shown == DOOR {
            let statements = text.matches("statement: &'static str").count();
            let queries: Vec<&str> = text
                .match_indices(".query(")
                .map(|(at, _)| text[at..].split_inclusive(',').next().unwrap())
                .collect();
            assert!(
                statements >= 2 && queries == [".query(statement,"],
                "{queries:?}"
            );
            assert!(!text.contains(".execute("));
        } else {
            assert!(
                !text.contains("spin_sdk::pg"),
                "{shown} has a way of its own to Postgres"
            );
        }
    }
}

/// The statements of tables last for ever, too. Here the compiler sees to it that they are made of constants: a table
/// has no field but `&'static str` and the like, its fields are private to this one file, and it is a `static`, which
/// can be made of constants only.
#[test]
fn the_statements_of_tables_are_made_of_constants_only() {
    let text = fs::read_to_string(root().join(TABLES)).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let fields = text.split_once("pub struct Table {").unwrap().1;
    let fields = fields.split_once('}').unwrap().0;
    let kinds: Vec<&str> = fields
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim().starts_with("///"))
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    let allowed = ["&'static str,", "Kind,", "OnceLock<Statements>,"];
    assert!(kinds.iter().all(|kind| allowed.contains(kind)), "{kinds:?}");
    // The cell is filled in one place, by texts of the program.
    assert_eq!(text.matches("get_or_init(||").count(), 1);
    assert!(!text.contains(".set(") && text.matches("OnceLock::new()").count() == 1);
    let fillings: Vec<&str> = text.split("self.fill(").skip(1).collect();
    assert!(fillings.len() >= 5, "{fillings:?}");
    for filling in fillings {
        let given = ["include_str!(\"statements/", "known)", "waiting)"];
        assert!(
            given.iter().any(|text| filling.starts_with(text)),
            "{filling}"
        );
    }
    // Each table is a `static`.
    let mut paths = Vec::new();
    sources(&root().join("components"), &mut paths);
    let mut tables = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("Table::new(") {
            let before = text[..at].trim_end();
            assert!(before.ends_with(": Table ="), "{}", path.display());
            let line = before.rsplit('\n').next().unwrap();
            assert!(line.starts_with("pub static "), "{line}");
            tables += 1;
        }
    }
    assert!(tables >= 9, "only {tables} tables were found");
}

/// In the database itself, what is put together at run time (`execute format`) quotes every part of
/// it.
#[test]
fn functions_in_postgres_quote_whatever_they_put_together() {
    let mut checked = 0;
    for file in world::postgres::sql_files().unwrap() {
        let text = fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices("execute ") {
            let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let line = text[line_start..].lines().next().unwrap();
            let dynamic = text[at + "execute ".len()..].trim_start();
            // `grant execute on`, triggers, and words of comments.
            if line.trim_start().starts_with("--")
                || ["on ", "function ", "procedure "]
                    .iter()
                    .any(|word| dynamic.starts_with(word))
                || line.contains("grant ")
                || line.contains("revoke ")
            {
                continue;
            }
            let statement = dynamic.split(';').next().unwrap();
            // A table or function that Postgres knows (`regclass`, `regprocedure`), or a constant of the
            // function itself.
            let constant = [
                "target",
                "existing",
                "::regclass)",
                "what.in_table",
                "split_part(setting",
                "case when is_definer",
                "s.tab",
                // Made by odoo_sync.typed() and format(), which quote.
                "c.value ->> 'expression'",
                // Names of dictionaries that Postgres knows, quoted already.
                "token.dictionaries",
            ]
            .iter()
            .any(|source| statement.contains(source));
            assert!(
                !statement.contains("||") && (constant || !statement.contains("%s")),
                "{}: {line}",
                file.display()
            );
            checked += 1;
        }
    }
    println!("{checked} statements are put together at run time");
}
