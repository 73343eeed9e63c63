//! Every block of SQL outside the steps runs on the real schema, and the queries that people want find
//! something: for an admin, and for nobody else.

use anyhow::{Context, Result, ensure};
use docs_tests::{Document, documents};
use serde_json::json;
use stage::{Builder, Stage};
use tokio_postgres::Client;
use world::odoo::{self, Attachments};
use world::supabase::Supabase;

use crate::running::sql;

/// A company that has moved.
pub async fn moved(builder: Builder) -> Result<Stage> {
    let attachments = Attachments {
        records: 60,
        ..Attachments::realistic(400)
    };
    let odoo = odoo::Options {
        attachments,
        ..odoo::Options::default()
    };
    let stage = builder.odoo(odoo).start().await?;
    stage.odoo.fill_pipeline(60);
    let leads = stage.odoo.records("crm.lead");
    leads.add_field("x_budget", "float", None);
    leads.update(1, &json!({"x_budget": {"$raw": "NaN"}}));
    let call = json!({"summary": "Call back", "res_model": "crm.lead", "res_id": 42, "date_deadline": "2026-12-24"});
    stage.odoo.records("mail.activity").insert(call);
    for path in ["/archive-batch", "/crm-sync", "/chatter-sync"] {
        let answer = stage.post(path, "{}").await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
    }
    Ok(stage)
}

/// A new user of the application.
pub async fn new_user(stage: &Stage, admin: bool) -> Result<String> {
    let made = "insert into auth.users default values returning id::text";
    let id: String = stage.owner.query_one(made, &[]).await?.try_get(0)?;
    if admin {
        let role =
            format!("insert into public.user_roles (user_id, role) values ('{id}', 'admin')");
        stage.owner.batch_execute(&role).await?;
    }
    Ok(id)
}

/// A signed-in user of the application.
async fn user(stage: &Stage, admin: bool) -> Result<Client> {
    let id = new_user(stage, admin).await?;
    let claims = json!({ "sub": id, "role": "authenticated" });
    stage
        .database
        .connect_as("authenticated", Some(&claims))
        .await
}

/// The table of Supabase's Storage, which the simulated one has none of, with what an older version stored.
const OBJECTS: &str = "
    create schema storage;
    create table storage.objects (id uuid primary key default gen_random_uuid(), bucket_id text, name text, metadata jsonb, user_metadata jsonb);
    alter table storage.objects enable row level security;
    grant usage on schema storage to authenticated;
    grant select on storage.objects to authenticated;
    insert into storage.objects (bucket_id, name, metadata) values
      ('odoo-archive', 'aa/aa', '{\"mimetype\": \"image/svg+xml\"}'), ('odoo-archive', 'ab/ab', '{\"mimetype\": \"text/html; charset=utf-8\"}'),
      ('odoo-archive', 'ac/ac', '{\"mimetype\": \"application/octet-stream\"}'), ('avatars', 'me.svg', '{\"mimetype\": \"image/svg+xml\"}')";

#[tokio::test]
async fn the_queries_find_something_for_an_admin_and_nothing_for_others() -> Result<()> {
    let stage = moved(Stage::builder()).await?;
    stage.owner.batch_execute(OBJECTS).await?;
    let (admin, other) = (user(&stage, true).await?, user(&stage, false).await?);
    let document = Document::open("docs/queries.md")?;
    let blocks = document
        .chapter("Queries")
        .iter()
        .flat_map(|section| &section.blocks)
        .filter(|block| block.language == "sql");
    let (policies, blocks): (Vec<_>, Vec<_>) =
        blocks.partition(|block| block.text.starts_with("create policy"));
    for policy in policies {
        stage.owner.batch_execute(&policy.text).await?;
    }
    let mut queries = 0;
    for block in blocks {
        ensure!(block.not_run.is_none(), "{}", block.text);
        if block.text.contains("metadata->>'mimetype' ~*") {
            let runnable = sql(&admin, &block.text, "").await?;
            let names = runnable.iter().flatten().map(|row| row.get("name"));
            assert_eq!(names.collect::<Vec<_>>(), ["aa/aa", "ab/ab"]);
        }
        for statement in sql(&admin, &block.text, "").await? {
            queries += 1;
            assert!(
                !statement.is_empty(),
                "an admin finds nothing: {}",
                block.text
            );
        }
        for statement in sql(&other, &block.text, "").await? {
            assert!(
                statement.is_empty(),
                "somebody finds something: {statement:?}"
            );
        }
    }
    assert!(queries >= 10, "{queries}");
    Ok(())
}

/// The two set-ups that `docs/moving-over.md` is about.
const OLD_JOBS: &str = "
    select cron.schedule('archive-odoo-files-batch', '* * * * *', $$
      select net.http_post(url := 'https://abcd.supabase.co/functions/v1/archive-odoo-files',
        headers := jsonb_build_object('Authorization', 'Bearer ' || current_setting('supabase.service_role_key'))) $$);
    select cron.schedule('crm every quarter', '*/15 * * * *', $$
      select net.http_post(url := 'https://abcd.supabase.co/functions/v1/odoo-crm-sync',
        headers := '{\"Authorization\": \"Bearer eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl\"}') $$)";

#[tokio::test]
async fn moving_over_replaces_the_old_jobs_and_what_is_run_every_day_runs() -> Result<()> {
    let stage = moved(Stage::builder()).await?;
    let _supabase = Supabase::attend_without_clock(&stage.database).await?;
    stage.owner.batch_execute(OLD_JOBS).await?;
    let document = Document::open("docs/moving-over.md")?;
    let mut seen = Vec::new();
    for block in document
        .chapter("Moving over from the old jobs")
        .iter()
        .flat_map(|section| &section.blocks)
    {
        seen.extend(sql(&stage.owner, &block.text, &stage.url()).await?);
    }
    let scheduled = seen.first().context("nothing was scheduled")?;
    let replaced: Vec<_> = scheduled
        .iter()
        .filter(|row| row.get("action") == "replaced")
        .collect();
    assert_eq!(replaced.len(), 2, "{scheduled:?}");
    let kept = seen.get(1).context("nothing was kept")?;
    assert!(
        kept.iter()
            .any(|row| row.get("what").contains("does not exist")),
        "{kept:?}"
    );
    assert!(
        kept.iter()
            .any(|row| row.get("what").contains("in clear text")),
        "{kept:?}"
    );
    assert_eq!(
        stage
            .count("select count(*) from odoo_sync.replaced_jobs")
            .await?,
        0
    );
    assert_eq!(stage.count("select count(*) from cron.job").await?, 6);

    let mut statements = 0;
    let operations = Document::open("docs/operations.md")?;
    for section in operations.chapter("Operations") {
        for code in section.inline_code() {
            if code.starts_with("select ") || code.starts_with("update ") {
                sql(&stage.owner, &code, &stage.url()).await?;
                statements += 1;
            }
        }
    }
    assert!(statements >= 9, "{statements}");
    Ok(())
}

/// Documents whose statements other tests run, where there is something to find.
const FOLLOWED: [&str; 5] = [
    "docs/setup.md",
    "docs/moving-over.md",
    "docs/queries.md",
    "docs/restore.md",
    "docs/cut-over.md",
];

#[tokio::test]
async fn the_other_documents_statements_run() -> Result<()> {
    let stage = Stage::builder().start().await?;
    for document in documents()?
        .iter()
        .filter(|document| !FOLLOWED.contains(&document.path))
    {
        for (section, block) in document.blocks() {
            if block.language == "sql" && block.not_run.is_none() {
                let run = sql(&stage.owner, &block.text, &stage.url()).await;
                run.with_context(|| format!("{}, {}", document.path, section.title))?;
            }
        }
    }
    Ok(())
}
