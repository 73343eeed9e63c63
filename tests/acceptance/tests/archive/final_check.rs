//! Whether Odoo can be switched off: the verdict of a final check may be relied on.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use stage::{SERVICE_KEY, Stage};
use world::faults::Fault;
use world::odoo::{EdgeCase, NewAttachment, Options, User};
use world::storage::{self, Bucket};

use crate::certificate::{lacking, row_or_null};
use crate::scene::{in_state, odoo_with, path_of, row, set, small, tick_with};

const JOBS: [&str; 3] = ["/archive-batch", "/crm-sync", "/chatter-sync"];

/// One tick of each job, whatever comes of it.
async fn ticks(stage: &Stage) -> Result<()> {
    for path in JOBS {
        stage.post(path, "{}").await?;
    }
    Ok(())
}

pub async fn certificate(stage: &Stage) -> Result<Value> {
    let answer = stage.get("/certificate.json").await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(answer.json())
}

/// Asks for a check, and ticks until it has its verdict.
async fn checked(stage: &Stage, body: &str) -> Result<Value> {
    let asked = stage.post("/actions/final-check", body).await?;
    ensure!(asked.status == 200, "{} {}", asked.status, asked.text());
    for _ in 0..12 {
        ticks(stage).await?;
        let certificate = certificate(stage).await?;
        if certificate.get("state") != Some(&json!("running")) {
            return Ok(certificate);
        }
    }
    bail!("no verdict: {:#}", certificate(stage).await?)
}

pub async fn check(stage: &Stage) -> Result<Value> {
    checked(stage, "").await
}

/// How many stand in the way, by entity and kind.
fn reasons(certificate: &Value) -> BTreeMap<String, u64> {
    let reasons = certificate["reasons"].as_array().into_iter().flatten();
    reasons
        .map(|reason| {
            let of = format!(
                "{} {}",
                reason["entity"].as_str().unwrap_or_default(),
                reason["kind"].as_str().unwrap_or_default()
            );
            (of, reason["count"].as_u64().unwrap_or_default())
        })
        .collect()
}

fn of(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs
        .iter()
        .map(|(of, number)| ((*of).to_owned(), *number))
        .collect()
}

/// What was seen of an entity.
fn evidence<'c>(certificate: &'c Value, entity: &str) -> Result<&'c Value> {
    let parts = certificate["parts"].as_array().into_iter().flatten();
    let part = parts.clone().find(|part| part["entity"] == entity);
    Ok(&part.context("no such part")?["evidence"])
}

/// A stage with so many files and leads, all of them copied.
pub async fn copied(odoo: Options, leads: u32) -> Result<Stage> {
    let stage = set(odoo).start().await?;
    stage.odoo.fill_pipeline(leads);
    ticks(&stage).await?;
    Ok(stage)
}

pub fn salesman(files: u64) -> Options {
    Options {
        users: vec![User::salesman()],
        ..odoo_with(small(files))
    }
}

fn files_of(ids: impl IntoIterator<Item = i64>) -> BTreeSet<(String, i64)> {
    let file = |id| ("attachments".to_owned(), id);
    ids.into_iter().map(file).collect()
}

fn leads(stage: &Stage) -> world::odoo::Records {
    stage.odoo.records("crm.lead")
}

#[tokio::test]
async fn it_is_not_ready_until_every_file_is_here_or_accepted_by_name() -> Result<()> {
    // Of 210 files five are lost in Odoo's filestore, one is larger than the bucket takes, and three have no content.
    let lost = [3, 50, 51, 120, 200];
    let files = lost
        .iter()
        .fold(small(210), |files, id| files.with(*id, EdgeCase::LostFile))
        .with(77, EdgeCase::Size(2_000_000))
        .with(5, EdgeCase::Url)
        .with(6, EdgeCase::EmptyFile)
        .with(7, EdgeCase::CloudStorage);
    let bucket = Bucket {
        file_size_limit: Some(1_000_000),
        ..Bucket::private("odoo-archive")
    };
    let stage = set(odoo_with(files))
        .storage(storage::Options {
            buckets: vec![bucket],
            ..storage::Options::default()
        })
        .start()
        .await?;
    stage.odoo.fill_pipeline(30);
    ticks(&stage).await?;
    let found = check(&stage).await?;
    assert_eq!(found["state"], "not_ready", "{found:#}");
    let wanted = of(&[("attachments pending", 5), ("attachments dead", 1)]);
    assert_eq!(reasons(&found), wanted, "{found:#}");
    let examples: Vec<i64> = found["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|reason| reason["examples"].as_array().cloned().unwrap_or_default())
        .filter_map(|example| example["id"].as_i64())
        .collect();
    assert_eq!(examples.len(), 6, "each is named: {examples:?}");
    let files = evidence(&found, "attachments")?;
    assert_eq!(files["source_count"], 210, "{files:#}");
    assert_eq!(evidence(&found, "leads")?["source_count"], 30);
    let left_out = found["left_out"].to_string();
    assert!(
        left_out.contains("1 attachments have no content in Odoo: url"),
        "{left_out}"
    );

    // What is mended is moved; what cannot be is accepted by name, once.
    for id in lost {
        stage.odoo.attachments().damage(id, None);
    }
    tick_with(&stage, r#"{"mode": "retry_failed"}"#).await?;
    let found = check(&stage).await?;
    assert_eq!(reasons(&found), of(&[("attachments dead", 1)]), "{found:#}");
    let accepted = stage
        .post(
            "/actions/acknowledge",
            r#"{"entity": "attachments", "kind": "dead", "ids": [77], "note": "a video that nobody needs"}"#,
        )
        .await?;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    let ready = certificate(&stage).await?;
    assert_eq!(
        (&ready["state"], &ready["stale"]),
        (&json!("ready"), &json!(false))
    );
    let accepted = &ready["acknowledged"][0];
    assert_eq!(
        (&accepted["id"], &accepted["who"], &accepted["note"]),
        (
            &json!(77),
            &json!("a service key"),
            &json!("a video that nobody needs")
        )
    );
    assert!(accepted["at"].is_string());
    // It holds for the next check too, and for nothing else.
    stage
        .odoo
        .attachments()
        .damage(8, Some(world::odoo::Damage::Lost));
    let again = check(&stage).await?;
    assert_eq!(again["state"], "ready", "{again:#}");

    // Whatever changes in Odoo afterwards makes it one of the past.
    ticks(&stage).await?;
    assert_eq!(certificate(&stage).await?["stale"], false);
    leads(&stage).update(3, &json!({"name": "Changed after the check"}));
    stage.post("/crm-sync", "{}").await?;
    let outdated = certificate(&stage).await?;
    assert_eq!(
        (&outdated["state"], &outdated["stale"]),
        (&json!("ready"), &json!(true)),
        "{outdated:#}"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_merge_of_contacts_changed_by_sql_is_found_and_mended() -> Result<()> {
    let stage = set(odoo_with(small(3))).start().await?;
    stage.odoo.fill_pipeline(20);
    let messages = stage.odoo.records("mail.message");
    for id in messages.ids() {
        messages.update(id, &json!({"write_date": "2026-01-01 10:00:00"}));
    }
    ticks(&stage).await?;
    // The wizard moves the references by SQL: no date changes.
    let merged: Vec<i64> = messages.ids().into_iter().take(10).collect();
    for id in &merged {
        messages.update_quietly(*id, &json!({"author_id": 1}));
    }
    let found = check(&stage).await?;
    assert_eq!(found["state"], "ready", "{found:#}");
    assert_eq!(evidence(&found, "messages")?["rewritten"], 10);
    let authors = stage
        .count(
            "select count(*) from public.odoo_messages where author_id = 1 and deleted_at is null",
        )
        .await?;
    assert_eq!(authors, i64::try_from(merged.len())?);
    Ok(())
}

#[tokio::test]
async fn what_turns_invisible_is_not_deleted_raises_an_alarm_and_is_not_ready() -> Result<()> {
    let stage = copied(salesman(4), 40).await?;
    leads(&stage).hide_from_salesmen([7, 8, 9]);
    let found = check(&stage).await?;
    assert_eq!(found["state"], "not_ready", "{found:#}");
    assert_eq!(reasons(&found).get("leads hidden"), Some(&3), "{found:#}");
    let deleted = "select count(*) from public.odoo_leads where deleted_at is not null";
    assert_eq!(stage.count(deleted).await?, 0);
    let hidden = stage
        .value("select to_jsonb(array(select u.id from odoo_sync.unreadable u where u.model = 'crm.lead' and u.hidden order by u.id))")
        .await?;
    assert_eq!(hidden, json!([7, 8, 9]));
    let alarm = stage
        .value(
            "select to_jsonb(f) from odoo_sync.jobs j cross join lateral unnest(odoo_sync.look_at_copies(j)) f
              where j.name = 'odoo-crm-sync-incremental'",
        )
        .await?;
    assert_eq!(alarm["state"], "hidden", "{alarm}");
    // What is deleted while others are hidden is told from them.
    leads(&stage).delete([10]);
    stage.post("/crm-sync", r#"{"mode": "missing"}"#).await?;
    assert_eq!(stage.count(deleted).await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_no_list_ever_showed_is_counted_and_named() -> Result<()> {
    let stage = set(salesman(4)).start().await?;
    stage.odoo.fill_pipeline(60);
    leads(&stage).hide_from_salesmen([5, 6, 41, 60]);
    let later = leads(&stage).insert(json!({"name": "Gone"}));
    leads(&stage).delete([17, later]);
    ticks(&stage).await?;
    let found = check(&stage).await?;
    let reason = found["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|reason| reason["entity"] == "leads" && reason["kind"] == "hidden")
        .with_context(|| format!("{found:#}"))?;
    assert_eq!(reason["count"], 4);
    let ids: Vec<&Value> = reason["examples"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|example| &example["id"])
        .collect();
    assert_eq!(ids, [5, 6, 41, 60]);
    Ok(())
}

/// What a certificate says is left out for want of rights.
fn rights(certificate: &Value) -> Vec<String> {
    let lines = certificate["left_out"].as_array().into_iter().flatten();
    let lines = lines.filter(|line| line["what"] == "rights");
    lines
        .map(|line| line["words"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn companies_and_groups_that_the_user_lacks_are_named_with_what_that_costs() -> Result<()> {
    let of_salesmen = [
        "base.group_erp_manager",
        "base.group_system",
        "sales_team.group_sale_salesman_all_leads",
    ];
    for (version, user, groups) in [
        (14, User::salesman(), of_salesmen.as_slice()),
        (16, User::sales_administrator(), &of_salesmen[..2]),
        (17, User::administrator(), &[]),
        (18, User::salesman(), &of_salesmen),
        (19, User::salesman(), &of_salesmen),
        (19, User::administrator(), &[]),
    ] {
        let stage = set(Options {
            version,
            users: vec![user.clone()],
            ..odoo_with(small(1))
        })
        .start()
        .await?;
        // Far apart, as companies that were deleted leave them.
        let companies = stage.odoo.records("res.company");
        for id in [2, 3, 5, 60, 120] {
            companies.insert(json!({"id": id, "name": format!("Branch {id}"), "partner_id": 1}));
        }
        let users = stage.odoo.records("res.users");
        users.update(user.uid, &json!({"company_ids": [1, 2]}));
        ticks(&stage).await?;
        let said = rights(&check(&stage).await?);
        let case = format!("{version}, {}: {said:#?}", user.login);
        let group = |line: &String| {
            let (_, name) = line.split_once("lacks the group ")?;
            let (group, costs) = name.split_once('(')?.1.split_once("): ")?;
            (!costs.is_empty()).then(|| group.to_owned())
        };
        let mut lacking: Vec<String> = said.iter().filter_map(group).collect();
        lacking.sort_unstable();
        assert_eq!(lacking, groups, "{case}");
        let company = |line: &String| {
            let number = line.strip_prefix("company ")?.split(' ').next()?;
            number.parse().ok()
        };
        let not_allowed: Vec<i64> = said.iter().filter_map(company).collect();
        assert_eq!(not_allowed, [3, 5, 60, 120], "{case}");
        assert_eq!(said.len(), lacking.len() + not_allowed.len(), "{case}");
        // Their names are for whoever manages rights.
        let named = said.iter().any(|line| line.contains("(Branch 3)"));
        assert_eq!(named, groups.is_empty(), "{case}");
    }
    Ok(())
}

#[tokio::test]
async fn a_column_that_becomes_unreadable_keeps_what_it_had_and_is_told() -> Result<()> {
    let stage = copied(salesman(2), 12).await?;
    let filled = "select count(*) from public.odoo_leads where email_from is not null";
    assert_eq!(stage.count(filled).await?, 12);
    leads(&stage).hide_field_from_salesmen("email_from");
    let found = check(&stage).await?;
    assert_eq!(stage.count(filled).await?, 12);
    assert_eq!(reasons(&found).get("leads frozen"), Some(&1), "{found:#}");
    let told = stage
        .value("select to_jsonb(u.fields) from odoo_sync.unreadable u where u.model = 'crm.lead' and u.id = -1")
        .await?;
    assert_eq!(told, json!(["email_from"]));
    Ok(())
}

#[tokio::test]
async fn an_object_that_was_removed_behind_our_back_is_moved_again_before_the_verdict() -> Result<()>
{
    let stage = copied(odoo_with(small(20).with(9, EdgeCase::SameContentAs(3))), 5).await?;
    let sha1 = stage
        .odoo
        .attachments()
        .get(3)
        .and_then(|file| file.checksum);
    let path = path_of(&sha1.context("no checksum")?);
    assert!(stage.storage.remove("odoo-archive", &path));
    let another = stage
        .odoo
        .attachments()
        .get(4)
        .and_then(|file| file.checksum);
    let another = path_of(&another.context("no checksum")?);
    stage.storage.put(
        "odoo-archive",
        &another,
        "application/pdf",
        b"short".to_vec(),
    )?;
    let found = check(&stage).await?;
    assert_eq!(found["state"], "ready", "{found:#}");
    assert!(
        stage
            .storage
            .objects()
            .iter()
            .any(|object| object.name == path)
    );
    assert_eq!(stage.storage.verify_all().misnamed, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn bytes_that_storage_changed_and_kept_the_etag_of_are_found_where_they_are_read()
-> Result<()> {
    let stage = copied(odoo_with(small(6)), 3).await?;
    for id in [2, 5] {
        let path = row(&stage, id).await?["object_path"].clone();
        stage
            .storage
            .rot("odoo-archive", path.as_str().unwrap_or_default())?;
    }
    // By size and etag nothing is wrong with them, which is what the certificate claims.
    let found = check(&stage).await?;
    assert_eq!(found["state"], "ready", "{found:#}");
    assert_eq!(evidence(&found, "attachments")?["read_back"], 0);
    assert_eq!(lacking(&stage).await?, files_of([2, 5]));

    let found = checked(&stage, r#"{"read_data": true}"#).await?;
    assert_eq!(found["state"], "ready", "{found:#}");
    assert_eq!(lacking(&stage).await?, files_of([]));
    let files = evidence(&found, "attachments")?;
    assert_eq!(
        (&files["read_back"], &files["destination_count"]),
        (&json!(6), &json!(6))
    );
    assert_eq!(files["source_bytes"], files["destination_bytes"]);
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_compared_is_no_ready_and_is_named() -> Result<()> {
    let stage = copied(odoo_with(small(8)), 3).await?;
    let path = row(&stage, 4).await?["object_path"].clone();
    let path = path.as_str().unwrap_or_default();
    let failing = r#"{"statusCode":"500","error":"Internal","message":"Internal Server Error","code":"InternalError"}"#;
    let faults = stage.storage.faults();
    let json = [("content-type", "application/json")];
    faults.add(Fault::on(path).method("GET").answer(500, &json, failing));
    let found = checked(&stage, r#"{"read_data": true}"#).await?;
    assert_eq!(found["state"], "not_ready", "{found:#}");
    let wanted = of(&[("attachments not_compared", 1)]);
    assert_eq!(reasons(&found), wanted, "{found:#}");
    assert_eq!(found["reasons"][0]["examples"][0]["id"], 4);
    faults.clear();
    let found = check(&stage).await?;
    assert_eq!(found["state"], "ready", "{found:#}");
    Ok(())
}

#[tokio::test]
async fn a_bucket_changed_by_mistake_stops_before_anything_is_written() -> Result<()> {
    let stage = set(odoo_with(small(8)))
        .storage(storage::Options {
            buckets: vec![Bucket::private("odoo-archive"), Bucket::private("another")],
            ..storage::Options::default()
        })
        .start()
        .await?;
    ticks(&stage).await?;
    stage.odoo.attachments().insert(NewAttachment {
        content: Some(b"new".to_vec().into()),
        ..NewAttachment::default()
    });
    let (_host, caller) = stage.replica(&[("storage_bucket", "another")]).await?;
    let answer = caller.post("/archive-batch", SERVICE_KEY, "{}").await?;
    let fault = &answer.json()["fault"];
    assert_eq!(
        (answer.status.as_u16(), &fault["kind"]),
        (500, &json!("setting")),
        "{}",
        answer.text()
    );
    let message = fault["message"].as_str().unwrap_or_default();
    for named in [
        "bucket another at",
        "bucket odoo-archive at",
        "odoo_sync.move_storage()",
    ] {
        assert!(message.contains(named), "{named:?} in {message}");
    }
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_attachments")
            .await?,
        8
    );

    // Moving there on purpose queues what is missing there, and nothing else.
    stage
        .owner
        .batch_execute("select odoo_sync.move_storage()")
        .await?;
    for _ in 0..4 {
        let answer = caller.post("/archive-batch", SERVICE_KEY, "{}").await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(in_state(&stage, "moved").await?, 9);
    let there = stage.storage.objects().into_iter();
    assert_eq!(there.filter(|object| object.bucket == "another").count(), 9);
    Ok(())
}

#[tokio::test]
async fn another_odoo_stops_before_anything_is_written() -> Result<()> {
    let stage = set(odoo_with(small(5))).start().await?;
    let users = stage.odoo.records("res.users");
    users.insert(json!({"id": 2, "name": "Mitchell Admin", "login": "admin", "create_date": "2020-01-01 10:00:00"}));
    ticks(&stage).await?;
    users.delete([2]);
    users.insert(
        json!({"id": 2, "name": "Another", "login": "admin", "create_date": "2024-05-05 10:00:00"}),
    );
    stage.odoo.attachments().insert(NewAttachment {
        content: Some(b"of another".to_vec().into()),
        ..NewAttachment::default()
    });
    for path in JOBS {
        let answer = stage.post(path, "{}").await?;
        let fault = &answer.json()["fault"];
        assert_eq!(
            (answer.status.as_u16(), &fault["kind"]),
            (500, &json!("setting")),
            "{}",
            answer.text()
        );
        let message = fault["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("made 2020-01-01") && message.contains("made 2024-05-05"),
            "{message}"
        );
    }
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_attachments")
            .await?,
        5
    );
    stage
        .owner
        .batch_execute("select odoo_sync.adopt_odoo()")
        .await?;
    let answer = stage.post("/archive-batch", "{}").await?;
    assert_eq!(answer.json()["migrated"], 1, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_check_goes_on_over_a_restart_and_a_change_meanwhile_is_not_overlooked() -> Result<()> {
    let mut stage = copied(odoo_with(small(12)), 15).await?;
    stage.post("/actions/final-check", "").await?;
    stage.post("/crm-sync", "{}").await?;
    stage.restart_app().await?;
    // What is compared already changes, before the others have been looked at.
    leads(&stage).update(2, &json!({"name": "Changed while the check was under way"}));
    stage.odoo.attachments().change_content(3);
    let mut last = Value::Null;
    for _ in 0..10 {
        ticks(&stage).await?;
        last = certificate(&stage).await?;
        if last["state"] != "running" {
            break;
        }
    }
    assert_eq!(last["state"], "ready", "{last:#}");
    let name = stage
        .value("select to_jsonb(name) from public.odoo_leads where id = 2")
        .await?;
    assert_eq!(name, "Changed while the check was under way");
    let file = row(&stage, 3).await?;
    let odoos = stage
        .odoo
        .attachments()
        .get(3)
        .and_then(|file| file.checksum);
    assert_eq!(
        (&file["state"], &file["checksum"]),
        (&json!("moved"), &json!(odoos))
    );
    Ok(())
}

#[tokio::test]
async fn a_content_replaced_by_a_transaction_of_20_minutes_is_found() -> Result<()> {
    let stage = copied(odoo_with(small(12)), 2).await?;
    let files = stage.odoo.attachments();
    let before = row(&stage, 3).await?["checksum"].clone();
    files.change_content_since(3, 20);
    // What batches read again behind their cursor does not reach back so far.
    ticks(&stage).await?;
    assert_eq!(row(&stage, 3).await?["checksum"], before);
    let found = check(&stage).await?;
    assert_eq!(found["state"], "ready", "{found:#}");
    assert_eq!(lacking(&stage).await?, files_of([]));
    let odoos = files.get(3).and_then(|file| file.checksum);
    assert_eq!(row(&stage, 3).await?["checksum"], json!(odoos));
    Ok(())
}

#[tokio::test]
async fn two_runs_of_each_job_at_once_end_in_one_true_verdict() -> Result<()> {
    let stage = copied(odoo_with(small(60)), 20).await?;
    let messages = stage.odoo.records("mail.message").count();
    leads(&stage).update_quietly(3, &json!({"name": "Changed by SQL"}));
    let asked = stage.post("/actions/final-check", "").await?;
    ensure!(asked.status == 200, "{}", asked.text());
    let mut last = json!({"state": "running"});
    for _ in 0..12 {
        if last["state"] != "running" {
            break;
        }
        for answer in join_all(
            JOBS.into_iter()
                .cycle()
                .take(6)
                .map(|path| stage.post(path, "{}")),
        )
        .await
        {
            answer?;
        }
        last = certificate(&stage).await?;
    }
    assert_eq!(last["state"], "ready", "{last:#}");
    for (entity, number) in [("attachments", 60), ("leads", 20), ("messages", messages)] {
        assert_eq!(evidence(&last, entity)?["source_count"], number, "{last:#}");
    }
    assert_eq!(lacking(&stage).await?, files_of([]));
    Ok(())
}

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_once_puts_nothing_off() -> Result<()> {
    let stage = copied(odoo_with(small(12)), 6).await?;
    // Odoo's clock was ahead when it wrote these, and so was ours when readings ended.
    let next_year = "select to_jsonb(to_char(now() at time zone 'utc' + interval '1 year', 'YYYY-MM-DD HH24:MI:SS'))";
    let next_year = stage.value(next_year).await?;
    leads(&stage).update(2, &json!({"name": "Ahead", "write_date": next_year}));
    stage.odoo.attachments().change_content_since(2, -525_600);
    ticks(&stage).await?;
    stage
        .owner
        .batch_execute(
            "update odoo_sync.cursors c set position = c.position || (
               select jsonb_object_agg(k, case when k in ('ended', 'changes_ended') then to_jsonb(extract(epoch from ahead.at)::bigint) else to_jsonb(ahead.at) end)
                 from (select now() + interval '1 year' as at) ahead, unnest(case
                        when c.name = 'archive-batch:sweep' then array['ended']
                        when c.name = 'archive-batch:discovery' then array['written', 'changes_ended']
                        else array['written', 'compared'] end) k)
              where c.name ~ '^(crm|chatter)-sync:' or c.name in ('archive-batch:sweep', 'archive-batch:discovery')",
        )
        .await?;
    leads(&stage).update(3, &json!({"name": "Changed since"}));
    leads(&stage).update_quietly(4, &json!({"name": "Changed by SQL"}));
    let messages = stage.odoo.records("mail.message");
    messages.update(1, &json!({"body": "<p>Changed since</p>"}));
    stage.odoo.attachments().change_content(5);
    stage.odoo.attachments().delete([6]);
    ticks(&stage).await?;
    assert_eq!(lacking(&stage).await?, files_of([]));
    let name = row_or_null(&stage, "odoo_leads", 4).await?["name"].clone();
    assert_eq!(name, "Changed by SQL");
    assert_ne!(row(&stage, 6).await?["deleted_at"], Value::Null);
    assert_eq!(check(&stage).await?["state"], "ready");
    Ok(())
}

#[tokio::test]
async fn a_login_answered_once_with_403_html_leaves_no_file_behind_for_good() -> Result<()> {
    let large = [3, 4].into_iter();
    let files = large.fold(small(6), |files, id| {
        files.with(id, EdgeCase::Size(8_000_000))
    });
    let stage = set(odoo_with(files))
        .variable("archive_max_rpc_bytes", 1_000_000)
        .storage(storage::Options {
            keep_bytes: storage::KeepBytes::Memory {
                max_object_bytes: u64::MAX,
            },
            ..storage::Options::default()
        })
        .start()
        .await?;
    stage.odoo.fill_pipeline(2);
    let html = [("content-type", "text/html")];
    let login = Fault::on("/web/session/authenticate").times(1);
    let page = "<html><center><h1>403 Forbidden</h1></center></html>";
    stage.odoo.faults().add(login.answer(403, &html, page));
    for _ in 0..3 {
        ticks(&stage).await?;
    }
    assert_eq!(in_state(&stage, "moved").await?, 6);
    let found = check(&stage).await?;
    assert_eq!(found["state"], "ready", "{found:#}");
    assert_eq!(lacking(&stage).await?, files_of([]));
    Ok(())
}

#[tokio::test]
async fn contents_are_compared_by_age_whoever_ticks_and_the_log_says_so() -> Result<()> {
    let stage = copied(odoo_with(small(2)), 6).await?;
    let compared = "select to_jsonb(v.detail ->> 'compared') from public.sync_validation_log v where entity = 'leads' order by created_at desc limit 1";
    stage.post("/crm-sync", r#"{"mode": "missing"}"#).await?;
    assert_eq!(stage.value(compared).await?, "ids and dates");
    leads(&stage).update_quietly(3, &json!({"name": "Changed by SQL"}));
    stage
        .owner
        .batch_execute(
            "update odoo_sync.cursors set position = position || jsonb_build_object('compared', now() - interval '25 hours')
              where name = 'crm-sync:leads'",
        )
        .await?;
    stage.post("/crm-sync", "{}").await?;
    let name = stage
        .value("select to_jsonb(name) from public.odoo_leads where id = 3")
        .await?;
    assert_eq!(name, "Changed by SQL");
    assert_eq!(stage.value(compared).await?, "contents");
    // One that only looks writes no record.
    leads(&stage).update(4, &json!({"name": "Written since"}));
    stage.post("/crm-sync", r#"{"mode": "validate"}"#).await?;
    let name = stage
        .value("select to_jsonb(name) from public.odoo_leads where id = 4")
        .await?;
    assert_ne!(name, "Written since");
    // Where no run has time for it, that is told until one has.
    let put_off = "update odoo_sync.cursors set position = position || jsonb_build_object('compared', now() - interval '4 days')
         where name = 'crm-sync:leads'";
    stage.owner.batch_execute(put_off).await?;
    let told = "select coalesce(jsonb_agg(f ->> 'state'), '[]') from odoo_sync.jobs j cross join lateral unnest(odoo_sync.look_at_copies(j)) f
         where j.component = 'crm-sync'";
    assert_eq!(stage.value(told).await?, json!(["not_compared"]));
    stage.post("/crm-sync", "{}").await?;
    assert_eq!(stage.value(told).await?, json!([]));
    Ok(())
}
