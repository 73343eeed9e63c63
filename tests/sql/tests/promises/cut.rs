//! Each file of `sql/` is done or not done, whatever cuts it off and whoever works meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio_postgres::Client;
use world::postgres::{Database, sql_files};

use crate::project::{query, server};
use crate::released;

/// The statements of a file, as `psql` sends them: one by one.
fn statements(text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    // What ends the quote that is open: ' or $…$.
    let mut quote: Option<String> = None;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let taken = match &quote {
            Some(end) if rest.starts_with(end.as_str()) => {
                let end = end.len();
                quote = None;
                end
            }
            None if rest.starts_with("--") => {
                rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
                continue;
            }
            None if next == '\'' => {
                quote = Some("'".to_owned());
                1
            }
            None if next == '$' => {
                let tag = rest[1..].split('$').next().unwrap_or_default();
                let is_tag = tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let end = format!("${tag}$");
                let is_quote = is_tag && rest.starts_with(&end);
                let taken = if is_quote { end.len() } else { 1 };
                quote = is_quote.then_some(end);
                taken
            }
            _ => next.len_utf8(),
        };
        let (part, after) = rest.split_at(taken);
        statements.last_mut().unwrap().push_str(part);
        if part == ";" && quote.is_none() {
            statements.push(String::new());
        }
        rest = after;
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

fn files() -> Vec<Vec<String>> {
    let read = |file| statements(&std::fs::read_to_string(file).unwrap());
    sql_files().unwrap().into_iter().map(read).collect()
}

/// Runs the files as `psql` does, on one connection each.
async fn apply_one_by_one(database: &Database) {
    for file in files() {
        let client = database.connect().await.unwrap();
        for statement in file {
            let ran = query(&client, &statement).await;
            assert!(ran.is_ok(), "{statement}: {ran:?}");
        }
    }
}

/// Nobody but the owner can do anything with what is there.
async fn is_closed(owner: &Client, anon: &Client, when: &str) {
    let tables = "select oid::regclass || ' ' || relrowsecurity from pg_class
        where relkind in ('r', 'p') and relnamespace::regnamespace::text in ('odoo_sync', 'public')";
    for table in query(owner, tables).await.unwrap() {
        let (table, row_security) = table.split_once(' ').unwrap();
        for attempt in [
            format!("select 1 from {table}"),
            format!("insert into {table} default values"),
        ] {
            let refusal = query(anon, &attempt).await.expect_err(when);
            assert!(
                refusal.contains("permission denied"),
                "{when}: {attempt}: {refusal}"
            );
        }
        // Signed-in users may ask, and see what they are allowed to.
        assert_eq!(row_security, "true", "{when}: {table}");
    }
}

#[tokio::test]
async fn a_file_that_is_cut_off_at_any_statement_opens_nothing() {
    let database = server().await.bare_database().await.unwrap();
    let owner = database.connect().await.unwrap();
    let anon = database.connect_as("anon", None).await.unwrap();
    let mut cuts = 0;
    for file in files() {
        for end in 1..file.len() {
            if file[end - 1].trim_start().starts_with("comment on") {
                continue;
            }
            cuts += 1;
            let cut = database.connect().await.unwrap();
            cut.batch_execute(&file[..end].concat()).await.unwrap();
            drop(cut);
            is_closed(&owner, &anon, &format!("cut off after {}", file[end - 1])).await;
        }
        owner.batch_execute(&file.concat()).await.unwrap();
    }
    assert!(cuts > 100, "{cuts}");
    is_closed(&owner, &anon, "in the end").await;
}

/// What the components do all day, each in one statement: files come, move and fail; runs end with their
/// rows in the log; and people look.
const WORK: [(&str, &str); 5] = [
    ("files come", "insert into public.odoo_attachments (id, file_size) select nextval('ids'), 10 from generate_series(1, 5)"),
    (
        "files move",
        "with claimed as (select id from public.odoo_attachments where state = 'pending' order by id limit 4 for update skip locked)
         update public.odoo_attachments a set state = case when a.id % 3 = 0 then 'dead' else 'moved' end, attempts = 1, reason = null
           from claimed c where a.id = c.id",
    ),
    (
        "runs end",
        "with ended as (insert into odoo_sync.runs (id, job, leased_until, outcome) values (gen_random_uuid(), 'crm-sync', now(), 'success') returning id, job)
         insert into public.migration_logs (job, run_id, remaining, status) select e.job, e.id, odoo_sync.remaining(), 'success' from ended e",
    ),
    (
        "leads come",
        "insert into public.odoo_leads as l (id, name, stage_id) values (1, 'a', 1) on conflict (id) do update set name = l.name || '.' where length(l.name) < 50",
    ),
    ("people look", "select count(*) from odoo_sync.health_view, public.odoo_pipeline, public.odoo_chatter"),
];

#[tokio::test]
async fn the_files_run_on_an_older_installation_at_work_without_a_loss_or_a_failure() {
    let project = released::installed("0.1.0").await;
    project
        .sql("create sequence public.ids; grant usage on sequence public.ids to odoo_sync; select odoo_sync.rotate_key()")
        .await;
    project.schedule("https://sync.example.com").await;
    let over = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for (what, statement) in WORK.iter().chain(&WORK[..3]) {
        // People look as the owner, whom row-level security lets see views.
        let client = if *what == "people look" {
            project.database.connect().await.unwrap()
        } else {
            project.database.connect_as_component().await.unwrap()
        };
        let done = Arc::new(AtomicU32::new(0));
        let (over, counter) = (Arc::clone(&over), Arc::clone(&done));
        let worker = tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                query(&client, statement)
                    .await
                    .map_err(|refusal| format!("{what}: {refusal}"))?;
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), String>(())
        });
        workers.push((*what, done, worker));
    }
    for _ in 0..3 {
        apply_one_by_one(&project.database).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut files, mut runs) = (0, 0);
    for (what, done, worker) in workers {
        worker.await.unwrap().unwrap();
        let done = done.load(Ordering::Relaxed);
        assert!(done > 0, "{what}: nothing was done meanwhile");
        match what {
            "files come" => files += 5 * done,
            "runs end" => runs += done,
            _ => {}
        }
    }
    let differing = "select bucket || ' ' || files_before || ' ' || files from odoo_sync.recount()";
    assert_eq!(project.sql(differing).await, Vec::<String>::new());
    for (rows, count) in [
        ("public.odoo_attachments", files),
        ("odoo_sync.runs", runs),
        ("public.migration_logs where run_id is not null", runs),
    ] {
        let counted = project.sql(&format!("select count(*) from {rows}")).await;
        assert_eq!(counted, [count.to_string()], "{rows}");
    }
    project.tick().await;
}
