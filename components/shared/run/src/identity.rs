//! The tables belong to one Odoo and one bucket: a component that finds another one stops before it writes
//! anything.

use std::collections::BTreeMap;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::check::{self, Check};
use ledger::identity::{Identity, keep};
use ledger::runs::RunId;
use odoo::Odoo;
use odoo::identity::in_words;
use outbound::{Clock, Http};
use serde_json::{Value, json};

/// Checks that this is the Odoo that the tables belong to. With `keeps`, that run stores the identity where
/// it is new or has changed.
pub async fn belongs_here<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    postgres: &impl Postgres,
    known: &BTreeMap<String, Identity>,
    keeps: Option<RunId>,
) -> Result<(), Fault> {
    let found = odoo.identity().await?;
    let words = in_words(&odoo.place(), &found);
    let kept = known.get("odoo");
    let before: odoo::identity::Identity = kept
        .and_then(|kept| serde_json::from_value(kept.identity.clone()).ok())
        .unwrap_or_default();
    if let Some(kept) = kept
        && !before.may_be(&found)
    {
        return Err(another(
            "odoo_url and odoo_database lead",
            &words,
            &kept.words,
            "Give back the ones before; where it is the same data by other means, run: select odoo_sync.adopt_odoo()",
        ));
    }
    let identity = json!(before.joined(&found));
    note("odoo", kept, keeps, postgres, (&identity, &words)).await
}

/// Reports to a final check which companies and groups the Odoo user lacks, and what is left out because of
/// that.
pub async fn tell_rights<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    postgres: &impl Postgres,
    run_id: RunId,
    check: Check,
) -> Result<(), Fault> {
    let rights = odoo.rights().await?;
    let evidence = json!({
        "compared": "the companies that exist with those that are allowed to the Odoo user, and its groups",
        "allowed_companies": rights.allowed, "left_out": rights.in_words(),
    });
    let part = (&evidence, true);
    check::keep(postgres, run_id, check, check::RIGHTS, part, (&[], true)).await
}

/// Checks that this is the bucket that the catalogue belongs to.
pub async fn bucket_belongs_here(
    (url, bucket): (&str, &str),
    postgres: &impl Postgres,
    known: &BTreeMap<String, Identity>,
    keeps: Option<RunId>,
) -> Result<(), Fault> {
    let identity = json!({ "url": url, "bucket": bucket });
    let words = format!("bucket {bucket} at {url}");
    let kept = known.get("storage");
    if let Some(kept) = kept
        && kept.identity != identity
    {
        return Err(another(
            "storage_url and storage_bucket lead",
            &words,
            &kept.words,
            "Give back the ones before; or, to move there, run: select odoo_sync.move_storage()",
        ));
    }
    note("storage", kept, keeps, postgres, (&identity, &words)).await
}

fn another(settings: &str, found: &str, kept: &str, remedy: &str) -> Fault {
    Fault::told(
        Kind::Setting,
        format!(
            "{settings} to {found}, and these tables belong to {kept}. Nothing was written. {remedy}"
        ),
    )
}

async fn note(
    side: &str,
    kept: Option<&Identity>,
    keeps: Option<RunId>,
    postgres: &impl Postgres,
    (identity, words): (&Value, &str),
) -> Result<(), Fault> {
    let is_known = kept.is_some_and(|kept| kept.identity == *identity && kept.words == words);
    match keeps {
        Some(run_id) if !is_known => keep(postgres, run_id, side, (identity, words)).await,
        _ => Ok(()),
    }
}
