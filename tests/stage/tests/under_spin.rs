//! The app under a real Spin, where there is one: the runner is worth what it has in common with it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http::Method;
use serde_json::{Value, json};
use stage::{Answer, SERVICE_KEY, Server, SpinFound, Stage, find_spin};
use world::odoo::{self, Attachments};

const FILES: u64 = 60;

/// However slow the machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Stages alike, one under the runner and one under Spin; `None` where there is no Spin.
async fn both() -> Result<Option<[Stage; 2]>> {
    let found = find_spin();
    if matches!(found, SpinFound::Usable(_)) {
        let (runner, spin) = (served_by(Server::Runner), served_by(Server::Spin));
        return Ok(Some([runner.await?, spin.await?]));
    }
    println!("skipped, since no Spin 4.1 or later is on the PATH: {found:?}");
    Ok(None)
}

async fn served_by(server: Server) -> Result<Stage> {
    let options = odoo::Options {
        attachments: Attachments::of(FILES),
        ..odoo::Options::default()
    };
    let builder = Stage::builder().odoo(options).served_by(server);
    let stage = builder.start().await?;
    stage.odoo.fill_pipeline(30);
    Ok(stage)
}

/// Method, path, headers and body.
type Call<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], &'a str);

/// What of an answer must be the same: its status, the names of its headers, its body.
fn shape(answer: &Answer) -> Value {
    let headers: Vec<_> = answer
        .headers
        .keys()
        // Of the connection, not of the app.
        .filter(|name| !["date", "transfer-encoding", "content-length"].contains(&name.as_str()))
        .map(ToString::to_string)
        .collect();
    json!({ "status": answer.status.as_u16(), "headers": headers })
}

#[tokio::test]
async fn every_door_opens_and_closes_under_spin_as_under_the_runner() -> Result<()> {
    let Some(both) = Box::pin(both()).await? else {
        return Ok(());
    };
    let bearer = format!("Bearer {SERVICE_KEY}");
    let key = [("authorization", bearer.as_str())];
    let stranger = [("authorization", "Bearer of-nobody")];
    let from_afar = [("origin", "https://example.com")];
    let large = "x".repeat(100_000);
    let calls: [Call<'_>; 13] = [
        (Method::GET, "/healthz", &[], ""),
        (Method::GET, "/", &[], ""),
        (Method::HEAD, "/", &[], ""),
        (Method::GET, "/nowhere/at/all", &[], ""),
        (Method::GET, "/.well-known/spin/health", &[], ""),
        (Method::GET, "/status", &key, ""),
        (Method::GET, "/status", &stranger, ""),
        (Method::OPTIONS, "/archive-batch", &from_afar, ""),
        (Method::GET, "/archive-batch", &key, ""),
        (Method::POST, "/archive-batch", &stranger, "{}"),
        (Method::POST, "/archive-batch", &key, "not JSON"),
        (Method::POST, "/archive-batch", &key, &large),
        (Method::POST, "/functions/v1/odoo-crm-sync/", &key, "[]"),
    ];
    for (method, path, headers, body) in calls {
        let mut answers = Vec::new();
        for stage in &both {
            let answer = stage
                .caller()
                .send(method.clone(), path, headers, body.to_owned());
            answers.push(shape(&answer.await?));
        }
        assert_eq!(answers.first(), answers.last(), "{method} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn all_is_moved_and_copied_under_spin_as_under_the_runner() -> Result<()> {
    let Some(both) = Box::pin(both()).await? else {
        return Ok(());
    };
    let mut came_of_it = Vec::new();
    for stage in &both {
        let mut reports = Vec::new();
        for path in ["/archive-batch", "/crm-sync", "/chatter-sync"] {
            let answer = stage.post(path, "{}").await?;
            ensure!(answer.status == 200, "{path}: {}", answer.text());
            let report = answer.json();
            let said = ["status", "migrated", "entities", "errors"];
            reports.push(said.map(|name| report.get(name).cloned()));
        }
        // What was asked for with `respond-async` goes on after the answer.
        let attachments = stage.odoo.attachments();
        attachments.insert(odoo::NewAttachment::default());
        let bearer = format!("Bearer {SERVICE_KEY}");
        let headers = [("authorization", &*bearer), ("prefer", "respond-async")];
        let caller = stage.caller();
        let answer = caller.send(Method::POST, "/archive-batch", &headers, "{}");
        assert_eq!(answer.await?.status, 202);
        let moved = "select count(*) from public.odoo_attachments where state = 'moved'";
        let all = i64::try_from(attachments.counts().movable)?;
        let begun = Instant::now();
        while stage.count(moved).await? < all {
            ensure!(begun.elapsed() < PATIENCE, "it stopped with the answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let stored = stage.storage.verify_all();
        assert!(stored.misnamed.is_empty(), "{stored:?}");
        came_of_it.push(json!([reports, all, stored.objects]));
    }
    assert_eq!(came_of_it.first(), came_of_it.last());
    Ok(())
}
