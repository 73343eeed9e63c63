//! What a tick and a look at the status cost, whatever the number of files in the catalogue.
//!
//! ```sh
//! cargo scale                     # 10 thousand, 1 million, 10 million, and a list of 1 million
//! cargo scale -- 10000 1000000
//! cargo scale -- queue            # what a claim costs in a queue that has been worked through
//! cargo scale -- chatter          # an hourly tick of the chatter, with 10 thousand and with 1 million messages
//! ```
//!
//! Each size has a stage of its own, whose catalogue is filled in bulk as a long migration leaves it.
//! Then all are looked at in turn, so that a busy machine is busy for all: the status, a tick with
//! nothing to do, and ticks that find and move new files, through the compiled components.

#![allow(
    clippy::indexing_slicing,
    reason = "a measurement that meets what it did not expect has failed"
)]

mod queue;
mod quiet;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::Value;
use stage::{SERVICE_KEY, Stage};
use world::odoo::{Attachments, NewAttachment, Options, Sizes};

/// How many looks or idle ticks a figure is the median of.
const LOOKS: usize = 101;
/// How many times new files are moved.
const ROUNDS: usize = 5;
/// How many rounds come before the first that counts: they open connections and fill caches.
const WARMING: usize = 2;
/// New files in each round.
const NEW: u32 = 1_000;
/// How many attachments the reading of Odoo's list is measured with.
const LISTED: u32 = 1_000_000;

/// A catalogue of one size, and what was measured with it.
struct Scale {
    rows: u64,
    stage: Stage,
    /// The status' tag, for asking whether anything is new.
    tag: String,
    /// By the figures of [`Figure::ALL`].
    times: [Vec<Duration>; Figure::ALL.len()],
}

/// What is measured.
#[derive(Clone, Copy)]
enum Figure {
    Status,
    Unchanged,
    IdleTick,
    Moving,
}

impl Figure {
    const ALL: [Self; 4] = [Self::Status, Self::Unchanged, Self::IdleTick, Self::Moving];

    const fn title(self) -> &'static str {
        match self {
            Self::Status => "GET /status",
            Self::Unchanged => "GET /status, 304",
            Self::IdleTick => "tick, nothing to do",
            Self::Moving => "tick, 1,000 new files of 1 KB",
        }
    }

    const fn rounds(self) -> usize {
        match self {
            Self::Moving => ROUNDS,
            _ => LOOKS,
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let part = arguments.pop_if(|last| matches!(last.as_str(), "queue" | "chatter"));
    let sizes = arguments
        .iter()
        .map(|size| {
            size.replace('_', "")
                .parse()
                .with_context(|| format!("{size} is no number of rows"))
        })
        .collect::<Result<Vec<u64>>>()?;
    match part.as_deref() {
        Some("queue") => queue::measure().await,
        Some(_) => quiet::measure(&or(sizes, &[10_000, 1_000_000])).await,
        None => files(or(sizes, &[10_000, 1_000_000, 10_000_000])).await,
    }
}

fn or(sizes: Vec<u64>, default: &[u64]) -> Vec<u64> {
    if sizes.is_empty() {
        default.to_vec()
    } else {
        sizes
    }
}

async fn files(sizes: Vec<u64>) -> Result<()> {
    let mut scales = Vec::new();
    for rows in sizes {
        let started = Instant::now();
        scales.push(Scale::of(rows).await?);
        eprintln!(
            "{rows} rows: filled in {:.0} s",
            started.elapsed().as_secs_f64()
        );
    }
    // Files are moved first: the ticks that do so also end the filled catalogue's first day.
    for figure in [
        Figure::Moving,
        Figure::IdleTick,
        Figure::Status,
        Figure::Unchanged,
    ] {
        for round in 0..WARMING + figure.rounds() {
            for scale in &mut scales {
                let time = scale.measure(figure).await?;
                if round >= WARMING {
                    scale.times[figure as usize].push(time);
                }
            }
        }
    }
    report(&mut scales);
    let (seconds, ticks) = list(LISTED).await?;
    println!(
        "\nReading Odoo's list of {LISTED} attachments into an empty catalogue: {seconds:.0} s in {ticks} ticks, {:.0} a second.",
        f64::from(LISTED) / seconds
    );
    Ok(())
}

/// A table in Markdown: medians in milliseconds, and the last size against the first.
fn report(scales: &mut [Scale]) {
    let header = scales
        .iter()
        .map(|scale| format!(" {} files |", scale.rows))
        .collect::<Vec<_>>()
        .concat();
    println!(
        "| median, ms |{header} last / first |\n| --- |{}",
        " ---: |".repeat(scales.len() + 1)
    );
    for figure in Figure::ALL {
        let medians: Vec<f64> = scales
            .iter_mut()
            .filter_map(|scale| median(&mut scale.times[figure as usize]))
            .map(|time| time.as_secs_f64() * 1000.0)
            .collect();
        let cells = medians
            .iter()
            .map(|median| format!(" {median:.1} |"))
            .collect::<Vec<_>>()
            .concat();
        if let (Some(first), Some(last)) = (medians.first(), medians.last()) {
            println!("| {} |{cells} {:.2} |", figure.title(), last / first);
        }
    }
}

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

impl Scale {
    async fn of(rows: u64) -> Result<Self> {
        let options = Options {
            attachments: Attachments {
                first_id: i64::try_from(rows)? + 1,
                ..Attachments::of(1).sized(Sizes::Fixed(1024))
            },
            ..Options::default()
        };
        let stage = Stage::builder().odoo(options).start().await?;
        fill(&stage, rows).await?;
        Ok(Self {
            rows,
            stage,
            tag: String::new(),
            times: Default::default(),
        })
    }

    async fn measure(&mut self, figure: Figure) -> Result<Duration> {
        match figure {
            Figure::Moving => {
                for _ in 0..NEW {
                    self.stage.odoo.attachments().insert(NewAttachment {
                        size: Some(1024),
                        ..NewAttachment::default()
                    });
                }
            }
            Figure::Unchanged => {
                self.stage
                    .get("/status")
                    .await?
                    .header("etag")
                    .clone_into(&mut self.tag);
                ensure!(!self.tag.is_empty(), "/status has no etag");
            }
            Figure::Status | Figure::IdleTick => {}
        }
        let started = Instant::now();
        match figure {
            Figure::Moving => self.move_all().await?,
            Figure::IdleTick => {
                let answer = self.stage.post("/archive-batch", "{}").await?;
                ensure!(answer.json()["migrated"] == 0, "{}", answer.text());
            }
            Figure::Status => ensure!(self.look("").await? == StatusCode::OK),
            // The graph of the last half hour may have moved on since the tag was read.
            Figure::Unchanged => {
                if self.look(&self.tag).await? != StatusCode::NOT_MODIFIED {
                    return Box::pin(self.measure(figure)).await;
                }
            }
        }
        Ok(started.elapsed())
    }

    async fn look(&self, tag: &str) -> Result<StatusCode> {
        let authorization = format!("Bearer {SERVICE_KEY}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("if-none-match", tag),
        ];
        let caller = self.stage.caller();
        Ok(caller
            .send(Method::GET, "/status", &headers, "")
            .await?
            .status)
    }

    /// Ticks until the new files are moved; as a rule one is enough.
    async fn move_all(&self) -> Result<()> {
        let mut moved = 0;
        while moved < u64::from(NEW) {
            let answer = self.stage.post("/archive-batch", "{}").await?.json();
            let now = answer["migrated"].as_u64().unwrap_or_default();
            ensure!(
                now > 0 && answer["failed"] == 0,
                "a tick moved nothing: {answer}"
            );
            moved += now;
        }
        Ok(())
    }
}

/// Fills the catalogue as a long migration leaves it: 90 % moved, 5 % waiting for another attempt
/// tomorrow, 1 % dead, 4 % skipped. In bulk, with the indexes made anew at the end.
async fn fill(stage: &Stage, rows: u64) -> Result<()> {
    let owner = &stage.owner;
    let indexes: Vec<String> = owner
        .query(
            "select indexdef from pg_indexes where schemaname = 'public' and tablename = 'odoo_attachments' and indexname <> 'odoo_attachments_pkey'",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    ensure!(
        !indexes.is_empty(),
        "the catalogue has no indexes: is the SQL applied?"
    );
    owner
        .batch_execute(
            "set synchronous_commit = off; set maintenance_work_mem = '1GB';
             do $$ declare i regclass; begin
               for i in select indexrelid from pg_index where indrelid = 'public.odoo_attachments'::regclass and not indisprimary loop
                 execute format('drop index %s', i);
               end loop;
             end $$",
        )
        .await?;
    let mut at = 0;
    while at < rows {
        let end = (at + 500_000).min(rows);
        owner
            .batch_execute(&format!(
                "insert into public.odoo_attachments (id, name, mimetype, file_size, checksum, res_model, res_id, write_date, state, attempts, reason, message, failed_at, moved_at, object_path, next_attempt_at)
                 select n, 'offer ' || n || '.pdf', 'application/pdf', 180000, sha, 'crm.lead', n / 7, now() - interval '1 year',
                        case when part < 90 then 'moved' when part < 95 then 'pending' when part < 96 then 'dead' else 'skipped' end,
                        case when part between 90 and 95 then 3 else 0 end,
                        case when part >= 90 then (array['storage_busy', 'source_empty', 'wrong_bytes'])[1 + n % 3] end,
                        case when part between 90 and 95 then 'some words about it' end,
                        case when part between 90 and 95 then now() - make_interval(secs => n % 1000000) end,
                        case when part < 90 then now() - make_interval(secs => n % 1000000) end,
                        case when part < 90 then left(sha, 2) || '/' || sha end,
                        now() + interval '1 day'
                   from (select n, n % 100 as part, md5(n::text) || left(md5(n::text), 8) as sha from generate_series({at} + 1, {end}) n) s"
            ))
            .await?;
        at = end;
    }
    for index in indexes {
        owner.batch_execute(&index).await?;
    }
    owner
        .batch_execute("vacuum analyze public.odoo_attachments")
        .await?;
    // Behind those ids Odoo's list goes on; before tomorrow nobody asks what is gone from it.
    owner
        .batch_execute(&format!(
            "insert into odoo_sync.cursors (name, position) values
               ('archive-batch:discovery', '{{\"after_id\": {rows}}}'),
               ('archive-batch:sweep', jsonb_build_object('ended', extract(epoch from now())::bigint));
             set synchronous_commit = on"
        ))
        .await?;
    Ok(())
}

/// Reads the list of so many attachments into an empty catalogue: seconds, and how many ticks.
async fn list(count: u32) -> Result<(f64, u32)> {
    let options = Options {
        attachments: Attachments::of(count.into()).sized(Sizes::Fixed(1024)),
        ..Options::default()
    };
    let stage = Stage::builder().odoo(options).start().await?;
    let started = Instant::now();
    let mut ticks = 0;
    let mut found = 0;
    while found < u64::from(count) {
        let answer = stage
            .post("/archive-batch", r#"{"mode": "discover"}"#)
            .await?
            .json();
        let now = answer["discovered"].as_u64().unwrap_or_default();
        ensure!(now > 0, "a tick found nothing: {answer}");
        found += now;
        ticks += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    let counted: Value = stage
        .value("select to_jsonb(count(*)) from public.odoo_attachments")
        .await?;
    ensure!(
        counted == count,
        "{counted} of {count} are in the catalogue"
    );
    Ok((seconds, ticks))
}
