//! Sets the archive to work, as often as it takes, and shows how far it is.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use crate::calling::{Call, LOOK, Stop};
use crate::scene::Scene;
use crate::spelling::{bytes, number, rate};
use crate::terminal::Terminal;

/// The job that archives.
const JOB: &str = "archive-odoo-files-batch";
/// So many batches in a row may be stopped by something that passes, such as a busy Odoo.
const STOPPED_IN_A_ROW: usize = 3;

/// How the moving ended.
pub struct Ended {
    /// How long it took.
    pub took: Duration,
}

/// How the archive stands: one row.
#[derive(Debug, Default, Deserialize)]
struct State {
    moved: u64,
    bytes: u64,
    skipped: u64,
    /// Out of attempts.
    dead: u64,
    /// To be moved, now or later.
    pending: u64,
    /// Of these, whether any is to be moved soon: another one waits for minutes after its failures.
    due: bool,
    /// Whether a batch is at work.
    running: bool,
    /// How many batches ended.
    ended: u64,
    /// Whether Odoo's list was read to its end.
    listed: bool,
    /// What stopped the batches since the last that was not stopped.
    stopped_by: Vec<Stop>,
}

impl State {
    async fn read(owner: &Client) -> Result<Self> {
        const STATEMENT: &str = "
            with files as (
              select coalesce(jsonb_object_agg(p.bucket, p.files), '{}') as files, coalesce(sum(p.bytes) filter (where p.bucket = 'moved'), 0) as bytes
                from odoo_sync.progress p
            ), runs as (
              select coalesce(bool_or(r.outcome = 'running'), false) as running,
                     count(*) filter (where r.outcome <> 'running') as ended,
                     coalesce(jsonb_agg(r.fault order by r.started_at desc) filter (where r.outcome = 'error'
                       and r.started_at > coalesce((select max(s.started_at) from odoo_sync.runs s where s.job = r.job and s.outcome = 'success'), '-infinity')), '[]') as stopped_by
                from odoo_sync.runs r where r.job = 'archive-batch'
            )
            select jsonb_build_object(
              'moved', coalesce((files->>'moved')::bigint, 0), 'bytes', bytes,
              'skipped', coalesce((files->>'skipped')::bigint, 0), 'dead', coalesce((files->>'dead')::bigint, 0),
              'pending', coalesce((files->>'pending')::bigint, 0) + coalesce((files->>'failed')::bigint, 0),
              'due', exists (select from public.odoo_attachments a where a.state = 'pending' and a.next_attempt_at < now() + interval '35 seconds'),
              'running', running, 'ended', ended, 'stopped_by', stopped_by,
              'listed', coalesce((select (c.position->>'complete')::boolean from odoo_sync.cursors c where c.name = 'archive-batch:discovery'), false))
            from files, runs";
        let row = owner
            .query_one(STATEMENT, &[])
            .await
            .context("the database's figures cannot be read")?;
        Ok(serde_json::from_value(row.try_get::<_, Value>(0)?)?)
    }

    fn all_done(&self) -> bool {
        self.listed && !self.due && !self.running && self.stopped_by.is_empty()
    }

    /// What a person has to mend, or what does not pass by itself.
    fn check(&self) -> Result<()> {
        let Some(last) = self.stopped_by.first() else {
            return Ok(());
        };
        if !last.passes() || self.stopped_by.len() >= STOPPED_IN_A_ROW {
            bail!("{}", last.in_words());
        }
        Ok(())
    }

    fn show(&self, all: Option<u64>, took: Duration, terminal: &mut Terminal) {
        let done = self.moved + self.skipped + self.dead;
        let all = all.unwrap_or(done + self.pending).max(done);
        let files_a_second = rate(self.moved, took);
        let words = format!(
            "{} of {}  {}  {files_a_second:.0}/s",
            number(done),
            number(all),
            bytes(self.bytes)
        );
        terminal.bar("moving", done, all, &words);
    }
}

/// Moves everything there is. Cron calls once a minute; so that nobody waits for it, the same call is
/// made whenever no batch is at work and something is left.
pub async fn everything(scene: &Scene, terminal: &mut Terminal) -> Result<Ended> {
    let all = scene
        .odoo
        .as_ref()
        .map(|odoo| crate::verification::visible(&odoo.attachments().counts()));
    let began = Instant::now();
    let mut called: Option<Call> = None;
    loop {
        let state = State::read(&scene.owner).await?;
        state.show(all, began.elapsed(), terminal);
        state.check()?;
        if state.all_done() {
            return Ok(Ended {
                took: began.elapsed(),
            });
        }
        if let Some(call) = &called {
            call.check_answer(&scene.owner).await?;
        }
        let awaited = called
            .as_ref()
            .is_some_and(|call| call.is_awaited(state.ended));
        if !state.running && !awaited {
            called = Some(Call::make(&scene.owner, JOB, state.ended).await?);
        }
        tokio::time::sleep(LOOK).await;
    }
}
