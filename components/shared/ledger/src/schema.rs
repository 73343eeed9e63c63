//! Whether the tables are recent enough for this program.

use fault::{Fault, Kind};
use serde_json::json;

use crate::{Postgres, call_one};

/// The version that the last file of `sql/` writes into `odoo_sync.schema_versions`. Newer tables work too.
pub const VERSION: i64 = 4;

/// Reports outdated tables before a statement fails on one of their columns.
pub async fn check(postgres: &impl Postgres) -> Result<(), Fault> {
    const STATEMENT: &str = "
        select to_jsonb(coalesce(max(v.version), 0)) from odoo_sync.schema_versions v where $1::jsonb is not null";
    let version: i64 = call_one(postgres, STATEMENT, &json!({})).await?;
    if version >= VERSION {
        return Ok(());
    }
    Err(Fault::told(
        Kind::LedgerMissing,
        format!(
            "the tables are of version {version}, and this program needs {VERSION}: run all files of its sql/ on this database again, in their order"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_file_writes_the_version_that_is_needed() {
        let last = include_str!("../../../../sql/14_erase.sql");
        let written = format!("insert into odoo_sync.schema_versions (version) values ({VERSION})");
        assert!(last.contains(&written));
    }
}
