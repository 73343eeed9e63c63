-- odoo-to-supabase, 2: what the components did, who works on what, and how far they came.

begin;

call odoo_sync.hold('odoo_sync.checks', 'odoo_sync.final_checks', 'odoo_sync.final_check_parts', 'odoo_sync.final_check_findings', 'odoo_sync.identities',
  'odoo_sync.runs', 'odoo_sync.cursors', 'odoo_sync.unreadable', 'public.migration_logs', 'public.sync_validation_log');

create table if not exists public.migration_logs (
  id uuid primary key default gen_random_uuid(),
  created_at timestamptz not null default now(),
  migrated integer not null default 0,
  failed integer not null default 0,
  remaining integer,
  elapsed_s numeric,
  errors text[] default '{}',
  status text check (status in ('success', 'error', 'auth_error'))
);
-- An older application may have the table already; the further columns follow it.
alter table public.migration_logs
  add column if not exists job text not null default 'archive-batch',
  add column if not exists run_id uuid,
  add column if not exists skipped integer default 0,
  add column if not exists bytes bigint default 0,
  add column if not exists detail jsonb default '{}';
create index if not exists migration_logs_by_job on public.migration_logs (job, created_at desc);
create index if not exists migration_logs_by_time on public.migration_logs (created_at desc);

comment on table public.migration_logs is 'A row for each batch that the components worked on, and at most one a minute for refused calls.';
comment on column public.migration_logs.id is 'Row id.';
comment on column public.migration_logs.created_at is 'When the batch ended.';
comment on column public.migration_logs.migrated is 'What was moved and verified in this batch.';
comment on column public.migration_logs.failed is 'What failed in this batch and will be tried again, or is out of attempts.';
comment on column public.migration_logs.remaining is 'Files that are still to be moved; null for what the syncs did.';
comment on column public.migration_logs.elapsed_s is 'How long the batch took, in seconds.';
comment on column public.migration_logs.errors is 'What went wrong, a line each, without secrets.';
comment on column public.migration_logs.status is 'success; error: the batch was stopped by something that would fail every item; auth_error: a call without an accepted key.';
comment on column public.migration_logs.job is 'archive-batch, crm-sync or chatter-sync.';
comment on column public.migration_logs.run_id is 'The run, in odoo_sync.runs.';
comment on column public.migration_logs.skipped is 'What needs no moving, for the reasons in detail.';
comment on column public.migration_logs.bytes is 'Bytes moved.';
comment on column public.migration_logs.detail is 'Further figures of the batch.';
call odoo_sync.protect('public.migration_logs', 'select, insert, update, delete');

create table if not exists public.sync_validation_log (
  id uuid primary key default gen_random_uuid(),
  created_at timestamptz not null default now(),
  run_id uuid,
  entity text not null,
  source_count bigint,
  destination_count bigint,
  missing bigint not null default 0,
  extra bigint not null default 0,
  stale bigint not null default 0,
  verdict text not null check (verdict in ('same', 'differs', 'error')),
  detail jsonb not null default '{}'
);
create index if not exists sync_validation_log_by_entity on public.sync_validation_log (entity, created_at desc);

comment on table public.sync_validation_log is 'A row for each entity and validation: Odoo and Postgres compared.';
comment on column public.sync_validation_log.id is 'Row id.';
comment on column public.sync_validation_log.created_at is 'When it was compared.';
comment on column public.sync_validation_log.run_id is 'The run, in odoo_sync.runs.';
comment on column public.sync_validation_log.entity is 'What was compared: attachments, leads, messages, …';
comment on column public.sync_validation_log.source_count is 'How many Odoo has.';
comment on column public.sync_validation_log.destination_count is 'How many Postgres has.';
comment on column public.sync_validation_log.missing is 'In Odoo, but not in Postgres.';
comment on column public.sync_validation_log.extra is 'In Postgres, but no longer in Odoo.';
comment on column public.sync_validation_log.stale is 'In both, but with other content.';
comment on column public.sync_validation_log.verdict is 'same; differs; error: it could not be compared.';
comment on column public.sync_validation_log.detail is 'Examples by id, and what went wrong.';
call odoo_sync.protect('public.sync_validation_log', 'select, insert, update, delete');

create table if not exists odoo_sync.runs (
  id uuid primary key,
  job text not null check (job in ('archive-batch', 'crm-sync', 'chatter-sync')),
  mode text,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  leased_until timestamptz not null,
  finished_at timestamptz,
  outcome text not null default 'running' check (outcome in ('running', 'success', 'error', 'crashed')),
  counts jsonb not null default '{}',
  fault jsonb,
  slot integer not null default 0
);
-- A run owns its slot: as many runs of a job at once as there are slots, whoever starts them.
create unique index if not exists runs_slot on odoo_sync.runs (job, slot) where outcome = 'running';
create index if not exists runs_by_job on odoo_sync.runs (job, started_at desc);
create index if not exists runs_by_time on odoo_sync.runs (started_at);

comment on table odoo_sync.runs is 'Runs of the components. A run works under a lease; one whose lease passed is marked crashed by whoever takes its slot.';
comment on column odoo_sync.runs.id is 'The run, chosen by the component.';
comment on column odoo_sync.runs.job is 'archive-batch, crm-sync or chatter-sync.';
comment on column odoo_sync.runs.mode is 'What kind of run: incremental, full, missing, …';
comment on column odoo_sync.runs.started_at is 'When it began.';
comment on column odoo_sync.runs.seen_at is 'When it last gave a sign of life.';
comment on column odoo_sync.runs.leased_until is 'Until when its slot is its own.';
comment on column odoo_sync.runs.finished_at is 'When it ended.';
comment on column odoo_sync.runs.outcome is 'running, success, error, or crashed (it ended without a report).';
comment on column odoo_sync.runs.counts is 'Its figures so far.';
comment on column odoo_sync.runs.fault is 'What stopped it: kind, blame, message.';
comment on column odoo_sync.runs.slot is 'The slot it owns while it runs.';
call odoo_sync.protect('odoo_sync.runs', 'select, insert, update, delete');

create table if not exists odoo_sync.cursors (
  name text primary key,
  position jsonb not null default '{}',
  updated_at timestamptz not null default now()
);
comment on table odoo_sync.cursors is 'How far each reading of Odoo came.';
comment on column odoo_sync.cursors.name is 'What is read.';
comment on column odoo_sync.cursors.position is 'Where to go on.';
comment on column odoo_sync.cursors.updated_at is 'When it last moved.';
call odoo_sync.protect('odoo_sync.cursors', 'select, insert, update, delete');

create table if not exists odoo_sync.unreadable (
  model text not null,
  id bigint not null,
  job text not null,
  fields text[] not null default '{}',
  said text not null,
  since timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  tries bigint not null default 1,
  primary key (model, id)
);
alter table odoo_sync.unreadable add column if not exists hidden boolean not null default false;
comment on column odoo_sync.unreadable.hidden is 'Whether the record is there, and this user may no longer see it, while a copy of it is here: it is not deleted.';
comment on table odoo_sync.unreadable is 'What could not be read in Odoo and was left out, while the rest went on. A row goes once it can be read; all of it is tried again: the pipeline each night, files each day, missing messages each hour.';
comment on column odoo_sync.unreadable.model is 'Model in Odoo, such as crm.lead.';
comment on column odoo_sync.unreadable.id is 'Id of the record in Odoo; 0: the fields were left out of all records.';
comment on column odoo_sync.unreadable.job is 'Which component tried: archive-batch, crm-sync or chatter-sync.';
comment on column odoo_sync.unreadable.fields is 'The fields that were left out; empty: the whole record was.';
comment on column odoo_sync.unreadable.said is 'What Odoo said, or what is wrong with it.';
comment on column odoo_sync.unreadable.since is 'When it was first met.';
comment on column odoo_sync.unreadable.seen_at is 'When it was last met.';
comment on column odoo_sync.unreadable.tries is 'How often it was met.';
call odoo_sync.protect('odoo_sync.unreadable', 'select, insert, update, delete');

-- The Odoo and the bucket that these tables belong to.
create table if not exists odoo_sync.identities (
  side text primary key check (side in ('odoo', 'storage')),
  identity jsonb not null,
  words text not null,
  since timestamptz not null default now()
);
comment on table odoo_sync.identities is 'The one Odoo and the one bucket that these tables belong to: a component that finds another one stops. odoo_sync.adopt_odoo() and odoo_sync.move_storage() take up others.';
comment on column odoo_sync.identities.side is 'odoo or storage.';
comment on column odoo_sync.identities.identity is 'What distinguishes it from others.';
comment on column odoo_sync.identities.words is 'The same for people.';
comment on column odoo_sync.identities.since is 'Since when it is known.';
call odoo_sync.protect('odoo_sync.identities', 'select, insert, update');

-- The result of the last check of the set-up: see 13_check.sql.
create table if not exists odoo_sync.checks (
  only_one boolean primary key default true check (only_one),
  checked_at timestamptz,
  right_at timestamptz,
  lines jsonb,
  knocked_at timestamptz,
  knocked_by text,
  request_id bigint,
  failed text
);
comment on table odoo_sync.checks is 'What POST /check found the last time, and the call by pg_net that belongs to it: one row.';
comment on column odoo_sync.checks.only_one is 'True: there is one row.';
comment on column odoo_sync.checks.checked_at is 'When the components last looked; null: never.';
comment on column odoo_sync.checks.right_at is 'When nothing was wrong for the first time; null: not yet.';
comment on column odoo_sync.checks.lines is 'What they found: name, state, found, remedy, in the order in which a person sets things up.';
comment on column odoo_sync.checks.knocked_at is 'When pg_net was last asked to call the components for it.';
comment on column odoo_sync.checks.knocked_by is 'The path that it was to call.';
comment on column odoo_sync.checks.request_id is 'pg_net''s number of the request; null: it could not be asked.';
comment on column odoo_sync.checks.failed is 'Why it could not be asked.';
call odoo_sync.protect('odoo_sync.checks', 'select, insert, update');

-- Final checks: see 12_final_check.sql.
create table if not exists odoo_sync.final_checks (
  id bigint generated always as identity primary key,
  asked_at timestamptz not null default now(),
  asked_by text not null,
  jobs text[] not null,
  read_data boolean not null default false,
  state text not null default 'running' check (state in ('running', 'ready', 'not_ready')),
  parts_done_at timestamptz,
  ended_at timestamptz,
  reasons jsonb not null default '[]',
  stale_at timestamptz,
  stale_why text
);
create unique index if not exists final_checks_running on odoo_sync.final_checks ((state)) where state = 'running';
comment on table odoo_sync.final_checks is 'Checks whether Odoo can be switched off, and what each came to.';
comment on column odoo_sync.final_checks.id is 'Row id.';
comment on column odoo_sync.final_checks.asked_at is 'When it was asked for: all that it says is from after this moment.';
comment on column odoo_sync.final_checks.asked_by is 'Who asked for it.';
comment on column odoo_sync.final_checks.jobs is 'The components that take part.';
comment on column odoo_sync.final_checks.read_data is 'Whether the bytes of all objects are read again.';
comment on column odoo_sync.final_checks.state is 'running, ready, or not_ready: see reasons.';
comment on column odoo_sync.final_checks.parts_done_at is 'When all was compared; from then on a last look has to find no change in Odoo.';
comment on column odoo_sync.final_checks.ended_at is 'When it came to its verdict.';
comment on column odoo_sync.final_checks.reasons is 'Why it is not ready: entity, kind, count, examples, remedy.';
comment on column odoo_sync.final_checks.stale_at is 'When a later change in Odoo, or here, was found: the verdict is out of date.';
comment on column odoo_sync.final_checks.stale_why is 'What changed.';
call odoo_sync.protect('odoo_sync.final_checks', 'select');

create table if not exists odoo_sync.final_check_parts (
  check_id bigint not null references odoo_sync.final_checks on delete cascade,
  entity text not null,
  job text not null,
  began_at timestamptz not null default now(),
  done_at timestamptz,
  evidence jsonb not null default '{}',
  primary key (check_id, entity)
);
comment on table odoo_sync.final_check_parts is 'What a final check compared, and what it saw: a row for each entity.';
comment on column odoo_sync.final_check_parts.check_id is 'The check.';
comment on column odoo_sync.final_check_parts.entity is 'What was compared: attachments, leads, messages, …';
comment on column odoo_sync.final_check_parts.job is 'The component that compared it.';
comment on column odoo_sync.final_check_parts.began_at is 'When its component took it up.';
comment on column odoo_sync.final_check_parts.done_at is 'When all of it was compared; null: not yet.';
comment on column odoo_sync.final_check_parts.evidence is 'How many records and bytes on both sides, compared how, what was found and mended, and what is left out.';
call odoo_sync.protect('odoo_sync.final_check_parts', 'select, insert, update');

create table if not exists odoo_sync.final_check_findings (
  check_id bigint not null references odoo_sync.final_checks on delete cascade,
  entity text not null,
  kind text not null,
  id bigint not null default 0,
  said text not null,
  primary key (check_id, entity, kind, id)
);
comment on table odoo_sync.final_check_findings is 'What stands in the way of switching Odoo off: a row for each record.';
comment on column odoo_sync.final_check_findings.check_id is 'The check.';
comment on column odoo_sync.final_check_findings.entity is 'Of what.';
comment on column odoo_sync.final_check_findings.kind is 'What is wrong, in a word.';
comment on column odoo_sync.final_check_findings.id is 'Id in Odoo; 0: the whole entity.';
comment on column odoo_sync.final_check_findings.said is 'What is wrong, in words.';
call odoo_sync.protect('odoo_sync.final_check_findings', 'select, insert, delete');

create table if not exists odoo_sync.acknowledgements (
  entity text not null,
  kind text not null,
  id bigint not null,
  said text not null,
  who text not null,
  at timestamptz not null default now(),
  note text,
  primary key (entity, kind, id)
);
comment on table odoo_sync.acknowledgements is 'What a person accepted to leave behind, by name: it no longer stands in the way of a final check. odoo_sync.acknowledge() adds rows; deleting one takes it back.';
comment on column odoo_sync.acknowledgements.entity is 'Of what.';
comment on column odoo_sync.acknowledgements.kind is 'What is wrong with it.';
comment on column odoo_sync.acknowledgements.id is 'Id in Odoo; 0: the whole entity, as long as the words stay the same.';
comment on column odoo_sync.acknowledgements.said is 'What was wrong when it was accepted.';
comment on column odoo_sync.acknowledgements.who is 'Who accepted it.';
comment on column odoo_sync.acknowledgements.at is 'When.';
comment on column odoo_sync.acknowledgements.note is 'Why, in their words.';
call odoo_sync.protect('odoo_sync.acknowledgements', '');

commit;
