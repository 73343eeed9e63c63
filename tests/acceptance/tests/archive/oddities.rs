//! One of each oddity at once: everything else arrives in the first ticks, and each stands on its list with the right words.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;
use stage::Stage;
use world::faults::Fault;
use world::odoo::{EdgeCase, NewAttachment, OddName};
use world::storage::{self, KeepBytes};

use crate::certificate::{lacking, named};
use crate::final_check::check;
use crate::scene::{odoo_with, path_of, row, set, small};

const FILES: u64 = 2000;
const LEADS: i64 = 500;

/// What cannot be moved, by id: why, the state it ends in, the kind of the reason, and words that are said of it.
const UNMOVABLE: [(i64, EdgeCase, &str, &str, &str); 7] = [
    (
        1,
        EdgeCase::LostFile,
        "pending",
        "source_empty",
        "not found or empty",
    ),
    (2, EdgeCase::WrongBytes, "pending", "wrong_bytes", "SHA-1"),
    (3, EdgeCase::TruncatedBytes, "pending", "truncated", "bytes"),
    (4, EdgeCase::EmptyFile, "skipped", "empty", ""),
    (5, EdgeCase::Url, "skipped", "url", ""),
    (6, EdgeCase::CloudStorage, "skipped", "cloud_storage", ""),
    (
        UNMEASURED,
        EdgeCase::Unchecked,
        "skipped",
        "no_checksum",
        "",
    ),
];

/// What no list of Odoo's shows: a final check asks for it by its id.
const UNLISTED: [(i64, EdgeCase); 2] = [(8, EdgeCase::RecordGone), (10, EdgeCase::HiddenRecord)];

/// What something in front of Storage refuses, by id: its status, the kind that it makes, and what is said.
const REFUSED: [(i64, u16, &str, &str); 3] = [
    (
        40,
        403,
        "file_blocked",
        "a proxy before Storage answered HTTP 403",
    ),
    (41, 503, "storage_busy", "HTTP 503"),
    (42, 413, "file_blocked", "let it take 8 MiB"),
];

/// It has a content of which Odoo knows neither the size nor the SHA-1.
const UNMEASURED: i64 = 9;

/// A stage with so many files, leads and messages, of which some are odd.
async fn filled(odd: bool) -> Result<Stage> {
    let mut files = small(FILES).with(32, EdgeCase::Size(8_000_000));
    for (id, ..) in REFUSED {
        files = files.with(id, EdgeCase::Size(900_000));
    }
    if odd {
        for (id, edge_case, ..) in UNMOVABLE {
            files = files.with(id, edge_case);
        }
        for (id, edge_case) in UNLISTED {
            files = files.with(id, edge_case);
        }
        for (name, id) in OddName::ALL.into_iter().zip(20..) {
            files = files.with(id, EdgeCase::OddName(name));
        }
        for (id, edge_case) in [
            (7, EdgeCase::ModelGone),
            (30, EdgeCase::Undated),
            (31, EdgeCase::Public),
            (33, EdgeCase::SameContentAs(34)),
            (35, EdgeCase::ReadOnly),
        ] {
            files = files.with(id, edge_case);
        }
    }
    let options = storage::Options {
        keep_bytes: KeepBytes::Memory {
            max_object_bytes: u64::MAX,
        },
        ..storage::Options::default()
    };
    let stage = set(odoo_with(files)).storage(options).start().await?;
    stage.odoo.fill_pipeline(u32::try_from(LEADS)?);
    if odd {
        make_odd(&stage)?;
    }
    Ok(stage)
}

fn make_odd(stage: &Stage) -> Result<()> {
    let form = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--xyz--\r\n";
    for mimetype in [
        "multipart/form-data; boundary=xyz",
        "not a/mime type; x=\"y\"",
        "image/jpeg, image/png",
    ] {
        stage.odoo.attachments().insert(NewAttachment {
            content: Some(format!("{form}{mimetype}").into_bytes().into()),
            mimetype: Some(mimetype.to_owned()),
            ..NewAttachment::default()
        });
    }
    let html = [("content-type", "text/html")];
    for (id, status, ..) in REFUSED {
        let file = stage.odoo.attachments().get(id).context("no file")?;
        let path = path_of(&file.checksum.context("no checksum")?);
        let upload = Fault::on(&path).method("POST");
        stage
            .storage
            .faults()
            .add(upload.answer(status, &html, "<html></html>"));
    }
    let leads = stage.odoo.records("crm.lead");
    for (name, kind, relation) in [
        ("x_budget", "float", None),
        ("x_story", "html", None),
        ("x_closed", "many2many", Some("res.partner")),
    ] {
        leads.add_field(name, kind, relation);
    }
    leads.fail_field("x_closed", "No rights on hr.employee.");
    leads.update(3, &json!({"x_budget": {"$raw": "NaN"}}));
    leads.update(4, &json!({"x_story": "x".repeat(6_000_000)}));
    leads.fail([5], true);
    let messages = stage.odoo.records("mail.message");
    messages.fail([7], true);
    messages.update(8, &json!({"body": "y".repeat(6_000_000)}));
    messages.update(9, &json!({"body": "<p>bell \u{7}</p>"}));
    messages.update(
        10,
        &json!({"body": "<img src=\"/web/content/1\">".repeat(5_900)}),
    );
    Ok(())
}

/// Two rounds of ticks; how long the files took that are moved, and all that was read of the records.
async fn copied(stage: &Stage) -> Result<[f64; 3]> {
    let mut seconds = [0.0; 3];
    for round in 0..2 {
        for (path, seconds) in ["/archive-batch", "/crm-sync", "/chatter-sync"]
            .into_iter()
            .zip(&mut seconds)
        {
            let started = Instant::now();
            stage.post(path, "{}").await?;
            if round == 0 {
                *seconds = started.elapsed().as_secs_f64();
            }
        }
    }
    let files = "select to_jsonb(extract(epoch from max(a.moved_at) - (select min(r.started_at) from odoo_sync.runs r where r.job = 'archive-batch')))
                   from public.odoo_attachments a";
    if let Some(files) = stage.value(files).await?.as_f64() {
        seconds[0] = files;
    }
    Ok(seconds)
}

/// The rows of a list, as `model id fields: what was said`.
async fn unreadable(stage: &Stage) -> Result<Vec<String>> {
    let list = "select coalesce(jsonb_agg(concat_ws(' ', u.model, u.id, nullif(array_to_string(u.fields, ' '), '')) || ': ' || u.said order by u.model, u.id, u.fields), '[]')
                  from odoo_sync.unreadable u";
    let list = stage.value(list).await?;
    let lines = list.as_array().context("no list")?.iter();
    Ok(lines
        .filter_map(|line| line.as_str().map(str::to_owned))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_each_at_once_keeps_nothing_else_from_arriving() -> Result<()> {
    let plain = copied(&filled(false).await?).await?;
    let stage = filled(true).await?;
    let odd = copied(&stage).await?;
    println!(
        "files, records, chatter: {plain:.1?} s without oddities, {odd:.1?} s with one of each"
    );

    // All else is here, byte by byte and field by field.
    let mut odd: BTreeSet<(String, i64)> = UNMOVABLE
        .iter()
        .filter(|(_, _, state, ..)| *state == "pending")
        .map(|(id, ..)| *id)
        .chain(UNLISTED.iter().map(|(id, _)| *id))
        .chain(REFUSED.iter().map(|(id, ..)| *id))
        .map(|id| ("attachments".to_owned(), id))
        .collect();
    odd.extend([
        ("leads".to_owned(), 5),
        ("messages".to_owned(), 7),
        ("messages".to_owned(), 8),
    ]);
    assert_eq!(lacking(&stage).await?, odd);

    // And each of these stands on its list.
    for (id, _, state, reason, words) in UNMOVABLE {
        let row = row(&stage, id).await?;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&json!(state), &json!(reason)),
            "{row:#}"
        );
        assert!(
            row["message"].as_str().unwrap_or_default().contains(words),
            "{row:#}"
        );
    }
    for (id, _, reason, words) in REFUSED {
        let row = row(&stage, id).await?;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&json!("pending"), &json!(reason)),
            "{row:#}"
        );
        assert!(
            row["message"].as_str().unwrap_or_default().contains(words),
            "{row:#}"
        );
    }
    let listed = unreadable(&stage).await?;
    for wanted in [
        "crm.lead 0 x_closed: the Odoo user lacks a right: No rights on hr.employee.",
        "crm.lead 3 x_budget: NaN is no number that JSON has",
        "crm.lead 4 x_story: it is too long to be read",
        "crm.lead 5: Odoo: 'gone.model' (builtins.KeyError)",
        "mail.message 7: Odoo: 'gone.model' (builtins.KeyError)",
        "mail.message 8 body: it is too long to be read",
    ] {
        assert!(
            listed.iter().any(|line| line == wanted),
            "{wanted:?} is not in {listed:#?}"
        );
    }
    assert!(listed.len() < 10, "{listed:#?}");
    let found = check(&stage).await?;
    let unmovable = UNMOVABLE
        .iter()
        .filter(|(.., reason, _)| !["empty", "url", "cloud_storage"].contains(reason));
    let files = unmovable.map(|(id, ..)| *id);
    let files = files
        .chain(UNLISTED.map(|(id, _)| id))
        .chain(REFUSED.map(|(id, ..)| id));
    let wanted = files.map(|id| ("attachments".to_owned(), id));
    let wanted = wanted.chain([("leads".to_owned(), 5), ("messages".to_owned(), 7)]);
    let named = named(&found)?;
    for wanted in wanted {
        assert!(named.contains(&wanted), "{wanted:?} is not in {named:?}");
    }
    Ok(())
}
