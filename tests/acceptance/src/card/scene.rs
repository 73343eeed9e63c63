//! A project in the state that a test wants to look at.

use anyhow::{Context, Result};
use stage::{Builder, Stage};
use world::supabase::Supabase;

/// The archive's job.
pub const ARCHIVE_JOB: &str = "archive-odoo-files-batch";

/// A stage whose jobs are scheduled, with helpers that change its database. Nothing ticks by itself.
pub struct Scene {
    /// The stage.
    pub stage: Stage,
    /// `pg_cron` and `pg_net`, by hand.
    pub supabase: Supabase,
}

impl Scene {
    /// A project on its first day: nothing is scheduled, nothing ever ran.
    pub async fn first_day(builder: Builder) -> Result<Self> {
        let stage = builder.start().await?;
        let supabase = Supabase::attend_without_clock(&stage.database).await?;
        Ok(Self { stage, supabase })
    }

    /// A project whose jobs are scheduled, and whose last ticks arrived.
    pub async fn scheduled(builder: Builder) -> Result<Self> {
        let scene = Self::first_day(builder).await?;
        scene
            .sql(&format!(
                "select * from odoo_sync.schedule('{}')",
                scene.stage.url()
            ))
            .await?;
        scene.answered(202).await?;
        // Where all was right once, the list of it is not shown.
        scene
            .sql("insert into odoo_sync.checks (checked_at, right_at, lines) values (now(), now(), '[]')")
            .await?;
        Ok(scene)
    }

    /// Runs statements as the owner.
    pub async fn sql(&self, statements: &str) -> Result<()> {
        self.stage
            .owner
            .batch_execute(statements)
            .await
            .with_context(|| statements.to_owned())
    }

    /// The archive's job was called just now, and answered so.
    pub async fn answered(&self, status_code: u16) -> Result<()> {
        self.sql(&format!(
            "insert into odoo_sync.calls (job, request_id, called_at, answered_at, status_code)
             values ('{ARCHIVE_JOB}', -{status_code}, clock_timestamp(), clock_timestamp(), {status_code})"
        ))
        .await
    }

    /// So many files are moved, and so many are still to be; Odoo's list was read to its end.
    pub async fn files(&self, moved: u32, pending: u32) -> Result<()> {
        self.sql(&format!(
            "insert into public.odoo_attachments (id, name, file_size, checksum, state, object_path, moved_at)
             select n, 'offer ' || n || '.pdf', 180000, md5(n::text), 'moved', 'x', now() from generate_series(1, {moved}) n;
             insert into public.odoo_attachments (id, name, file_size, checksum)
             select n, 'offer ' || n || '.pdf', 180000, md5(n::text) from generate_series({moved} + 1, {moved} + {pending}) n;
             insert into odoo_sync.cursors (name, position) values ('archive-batch:discovery', '{{\"complete\": true}}')
             on conflict (name) do update set position = excluded.position"
        ))
        .await
    }

    /// The batches of the last minutes, each of 45 s, and their runs. Some moved a little more and some
    /// a little less, the same in every run.
    pub async fn batches(&self, minutes: u32, files: u32) -> Result<()> {
        self.sql(&format!(
            "with run as (
               insert into odoo_sync.runs (id, job, started_at, seen_at, finished_at, leased_until, outcome, counts)
               select gen_random_uuid(), 'archive-batch', now() - make_interval(mins => n, secs => 50), now() - make_interval(mins => n, secs => 5),
                      now() - make_interval(mins => n, secs => 5), now(), 'success', '{{}}'
                 from generate_series(0, {minutes} - 1) n returning id, finished_at)
             insert into public.migration_logs (created_at, job, run_id, migrated, bytes, remaining, elapsed_s, status)
             select finished_at, 'archive-batch', id, ({files} * (0.8 + 0.04 * (row_number() over (order by finished_at) * 7 % 11)))::int, {files} * 180000, 0, 45, 'success' from run"
        ))
        .await
    }

    /// A run of a component ended so, some seconds ago. One with success read all that there was.
    pub async fn ran(
        &self,
        component: &str,
        outcome: &str,
        seconds_ago: u32,
        fault: Option<&str>,
    ) -> Result<()> {
        let fault = fault.map_or_else(|| "null".to_owned(), |fault| format!("'{fault}'"));
        self.sql(&format!(
            "insert into odoo_sync.runs (id, job, mode, started_at, seen_at, finished_at, leased_until, outcome, fault, counts)
             select id, '{component}', 'incremental', t - interval '20 seconds', t, t, t, '{outcome}', {fault}::jsonb,
                    jsonb_build_object('as_of', jsonb_build_object('leads', id))
               from (select gen_random_uuid() as id, now() - make_interval(secs => {seconds_ago}) as t) s"
        ))
        .await
    }

    /// So many files failed alike: `dead`, or waiting for another attempt.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a column, and a test reads as a row"
    )]
    pub async fn failures(
        &self,
        first_id: u32,
        number: u32,
        state: &str,
        kind: &str,
        blame: &str,
        message: &str,
        name: &str,
    ) -> Result<()> {
        let attempts = if state == "dead" { 8 } else { 2 };
        self.stage
            .owner
            .execute(
                "insert into public.odoo_attachments (id, name, file_size, checksum, state, attempts, reason, blame, message, failed_at, next_attempt_at)
                 select n, $6, 180000, md5(n::text), $1, $7, $2, $3, $4, now() - make_interval(secs => 120 + n - $5), now() + interval '10 minutes'
                   from generate_series($5::bigint, $5::bigint + $8::bigint - 1) n",
                &[&state, &kind, &blame, &message, &i64::from(first_id), &name, &i16::try_from(attempts)?, &i64::from(number)],
            )
            .await?;
        Ok(())
    }
}
