//! The simulated servers answer as the table says.

use std::collections::BTreeSet;

use anyhow::Result;
use conform::storage::Backend;
use conform::{Report, Server, exchanges, odoo, postgres, storage, way};

/// All exchanges were asked, and all went as the table says.
fn holds(report: &Report) {
    assert!(report.differences.is_empty(), "{report}");
}

async fn an_odoo(version: u8) -> Result<()> {
    let report = odoo::against_simulated(version).await?;
    holds(&report);
    assert!(report.skipped.is_empty(), "{report}");
    Ok(())
}

#[tokio::test]
async fn the_simulated_odoo_14_answers_as_the_real_one() -> Result<()> {
    an_odoo(14).await
}

#[tokio::test]
async fn the_simulated_odoo_15_answers_as_the_real_one() -> Result<()> {
    an_odoo(15).await
}

#[tokio::test]
async fn the_simulated_odoo_16_answers_as_the_real_one() -> Result<()> {
    an_odoo(16).await
}

#[tokio::test]
async fn the_simulated_odoo_17_answers_as_the_real_one() -> Result<()> {
    an_odoo(17).await
}

#[tokio::test]
async fn the_simulated_odoo_18_answers_as_the_real_one() -> Result<()> {
    an_odoo(18).await
}

#[tokio::test]
async fn the_simulated_odoo_19_answers_as_the_real_one() -> Result<()> {
    an_odoo(19).await
}

#[tokio::test]
async fn the_simulated_storage_answers_as_the_real_one() -> Result<()> {
    for (behind_gateway, backend) in [
        (true, Backend::File),
        (false, Backend::File),
        (true, Backend::S3),
    ] {
        holds(&storage::against_simulated(behind_gateway, backend).await?);
    }
    Ok(())
}

#[tokio::test]
async fn what_few_storages_do_is_answered_as_theirs() -> Result<()> {
    for way in way::OF_STORAGE {
        let report = storage::against_simulated_way(way).await?;
        holds(&report);
        assert!(
            !report.passed.is_empty() && report.skipped.is_empty(),
            "{way}: {report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_few_odoos_do_is_answered_as_theirs() -> Result<()> {
    for (way, versions) in [("x_sendfile", 16..=19), ("call_limit", 14..=19)] {
        for version in versions {
            let report = odoo::against_simulated_way(version, Some(way)).await?;
            holds(&report);
            assert!(
                !report.passed.is_empty() && report.skipped.is_empty(),
                "{way}, {version}: {report}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_stand_ins_in_postgres_answer_as_the_real_extensions() {
    let report = postgres::against_simulated(false).await.unwrap();
    holds(&report);
    // Else a stand-in that is not there would be none that differs.
    let why = [
        "there is no waiting for a minute here",
        "none is simulated",
        "this pg_cron is another one",
    ];
    let unasked = report
        .skipped
        .iter()
        .find(|(_, said)| !why.iter().any(|why| said.ends_with(why)));
    assert!(unasked.is_none(), "{unasked:?}");
}

#[tokio::test]
async fn the_real_pg_cron_answers_as_the_table_says() {
    holds(&postgres::against_simulated(true).await.unwrap());
}

#[tokio::test]
async fn the_real_pgbouncer_refuses_as_the_table_says() {
    match postgres::against_pgbouncer().await.unwrap() {
        Some(report) => {
            holds(&report);
            assert!(
                report.skipped.is_empty() && report.passed.len() > 8,
                "{report}"
            );
        }
        None => eprintln!("skipped: what a pooler refuses, since there is no pgbouncer"),
    }
}

#[test]
fn each_exchange_has_a_name_of_its_own_and_a_source() {
    let mut names = BTreeSet::new();
    for server in [Server::Odoo, Server::Storage, Server::Postgres] {
        for exchange in exchanges(server).unwrap() {
            assert!(
                exchange.source.len() > 10,
                "{}: where was it seen?",
                exchange.name
            );
            assert!(
                !exchange.steps.is_empty(),
                "{}: it asks for nothing",
                exchange.name
            );
            assert!(
                names.insert(exchange.name.clone()),
                "twice: {}",
                exchange.name
            );
        }
    }
    assert!(names.len() >= 300, "{} exchanges", names.len());
}
