//! Text that would be a statement, a format or a mark-up anywhere else arrives as text.

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use stage::Stage;
use world::odoo::NewAttachment;

use crate::scene::{all_still_serve, key, post, set};

const TEXTS: [&str; 12] = [
    "'; drop table public.migration_logs; --",
    "\"; drop schema odoo_sync cascade; --",
    "$1::jsonb->>'x' $$ $tag$ \\' \\\\",
    "') on conflict do nothing; delete from odoo_sync.accepted_keys; --",
    "{\"$ref\": \"#\"} {{ odoo_api_key }} ${HOME} %s %n {0}",
    "line\nbreak\r\nset-cookie: a=b\ttab",
    "\u{202e}gpj.exe \u{feff}\u{200b}",
    "../../etc/passwd\\..\\x",
    "<script>alert(1)</script>",
    "emoji 😀 and Umlaut äöü",
    "' or '1'='1",
    "NULL",
];

async fn tables_are_there(stage: &Stage) -> Result<()> {
    for table in [
        "public.migration_logs",
        "public.odoo_attachments",
        "public.odoo_leads",
        "odoo_sync.accepted_keys",
        "odoo_sync.runs",
    ] {
        let there = stage
            .value(&format!(
                "select to_jsonb(to_regclass('{table}') is not null)"
            ))
            .await?;
        ensure!(there == true, "{table} is gone");
    }
    Ok(())
}

#[tokio::test]
async fn what_odoo_holds_arrives_to_the_letter() -> Result<()> {
    let stage = set().start().await?;
    let leads = stage.odoo.records("crm.lead");
    let mut files = Vec::new();
    for text in TEXTS {
        leads.insert(
            json!({"name": text, "contact_name": text, "description": text, "email_from": text}),
        );
        let named = NewAttachment {
            name: Some(text.to_owned()),
            ..NewAttachment::default()
        };
        files.push((stage.odoo.attachments().insert(named), text));
    }
    for path in ["/crm-sync", "/archive-batch"] {
        let answer = post(&stage, path, "{}").await?;
        ensure!(
            answer.status == 200 && answer.json()["status"] == "success",
            "{path}: {}",
            answer.text()
        );
    }
    tables_are_there(&stage).await?;
    for text in TEXTS {
        let row = stage
            .owner
            .query_opt(
                "select contact_name, description, email_from from public.odoo_leads where name = $1",
                &[&text],
            )
            .await?
            .with_context(|| format!("no lead of the name {text:?}"))?;
        for column in 0..3 {
            ensure!(row.try_get::<_, String>(column)? == text);
        }
    }
    for (id, text) in files {
        let row = stage
            .owner
            .query_one(
                "select name, state from public.odoo_attachments where id = $1",
                &[&id],
            )
            .await?;
        ensure!(row.try_get::<_, String>(0)? == text && row.try_get::<_, String>(1)? == "moved");
        let answer = stage.get(&format!("/status/files/{id}")).await?;
        ensure!(
            answer.status == 200 && answer.json()["name"] == text,
            "{}",
            answer.text()
        );
    }
    all_still_serve(&stage).await
}

#[tokio::test]
async fn what_a_caller_sends_is_never_part_of_a_statement() -> Result<()> {
    let stage = set().start().await?;
    let (name, value) = key();
    for text in TEXTS {
        for body in [
            json!({"mode": text}),
            json!({"entities": [text]}),
            json!({"job": text}),
            json!({"job": text, "ids": [1]}),
            json!({"read_data": text}),
        ] {
            for path in [
                "/archive-batch",
                "/crm-sync",
                "/chatter-sync",
                "/actions/retry",
                "/actions/pause",
                "/actions/run",
            ] {
                // A key that a path does not know changes nothing there: only those that it knows.
                let known = match path {
                    "/archive-batch" => ["mode", "read_data"].as_slice(),
                    "/crm-sync" | "/chatter-sync" => &["mode", "entities"],
                    _ => &["job"],
                };
                if !known.iter().any(|key| body.get(key).is_some()) {
                    continue;
                }
                let answer = post(&stage, path, body.to_string()).await?;
                // Which files to try again does not depend on a job.
                let harmless = path == "/actions/retry" && answer.status == 200;
                ensure!(
                    answer.status.is_client_error() || harmless,
                    "{path} {body}: {} {}",
                    answer.status,
                    answer.text()
                );
            }
        }
        // Header values take no line breaks; the rest goes.
        let header: String = text
            .chars()
            .filter(|c| c.is_ascii() && !c.is_control())
            .collect();
        for headers in [
            [("authorization", format!("Bearer {header} as a key"))],
            [("apikey", format!("{header} as a key"))],
        ] {
            let headers = headers
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            let answer = stage
                .caller()
                .send(Method::POST, "/crm-sync", &headers, "{}")
                .await?;
            ensure!(answer.status == 401, "{header}: {}", answer.status);
        }
        let encoded = text.bytes().fold(String::new(), |encoded, byte| {
            format!("{encoded}%{byte:02X}")
        });
        let headers = [(name, value.as_str()), ("if-none-match", header.as_str())];
        for path in [
            format!("/status/files/{encoded}"),
            format!("/status?since={encoded}"),
        ] {
            let answer = stage
                .caller()
                .send(Method::GET, &path, &headers, "")
                .await?;
            ensure!(
                answer.status == 400 || answer.status == 200,
                "{path}: {}",
                answer.status
            );
        }
    }
    tables_are_there(&stage).await?;
    let done = stage
        .value(
            "select coalesce(jsonb_agg(j), '[]') from odoo_sync.cursors j where name like '%drop%'",
        )
        .await?;
    ensure!(done == Value::Array(Vec::new()), "{done}");
    all_still_serve(&stage).await
}

#[tokio::test]
async fn a_column_that_a_person_made_in_odoo_may_have_any_name() -> Result<()> {
    let stage = set().start().await?;
    stage
        .odoo
        .records("crm.lead")
        .insert(json!({"name": "with a field of its own", "x_studio_quote": "O'Neil \"&\" Sons"}));
    let answer = post(&stage, "/crm-sync", "{}").await?;
    ensure!(answer.status == 200, "{}", answer.text());
    tables_are_there(&stage).await
}
