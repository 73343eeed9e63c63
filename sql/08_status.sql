-- odoo-to-supabase, 8: the status in one call, whatever the number of files, and what people do about it.
--
--   select odoo_sync.status();
--
-- Nothing here counts a table: the figures come from odoo_sync.progress, and every list has a limit
-- and an index that gives its rows in order.

begin;

call odoo_sync.hold('odoo_sync.runs', 'public.migration_logs', 'odoo_sync.calls', 'odoo_sync.actions');

-- The newest success and failure of a job are one step away, however long the history is.
create index if not exists runs_succeeded on odoo_sync.runs (job, finished_at desc) where outcome = 'success';
create index if not exists runs_failed on odoo_sync.runs (finished_at desc) where outcome in ('error', 'crashed');
create index if not exists migration_logs_succeeded on public.migration_logs (job, created_at desc) where status = 'success';
create index if not exists calls_by_job_and_time on odoo_sync.calls (job, called_at desc);

create table if not exists odoo_sync.actions (
  id bigint generated always as identity primary key,
  done_at timestamptz not null default now(),
  action text not null check (action in ('retry', 'pause', 'resume', 'run')),
  job text not null,
  who text not null,
  succeeded boolean not null,
  outcome text not null
);
create index if not exists actions_by_time on odoo_sync.actions (done_at);
alter table odoo_sync.actions drop constraint if exists actions_action_check;
alter table odoo_sync.actions add constraint actions_action_check check (action in ('retry', 'pause', 'resume', 'run', 'final_check', 'acknowledge'));
comment on table odoo_sync.actions is 'What people did on the status card: a row for each time, also where it failed.';
comment on column odoo_sync.actions.id is 'Row id.';
comment on column odoo_sync.actions.done_at is 'When.';
comment on column odoo_sync.actions.action is 'retry: dead files back into the queue; pause; resume; run: a tick out of turn; final_check; acknowledge: what it found is accepted.';
comment on column odoo_sync.actions.job is 'Which job, or which component for all its jobs.';
comment on column odoo_sync.actions.who is 'The user''s email or id, or a service key.';
comment on column odoo_sync.actions.succeeded is 'Whether it could be done.';
comment on column odoo_sync.actions.outcome is 'What came of it, in words.';
call odoo_sync.protect('odoo_sync.actions', '');

insert into odoo_sync.settings (name, value) values ('keep_days.actions', '365') on conflict (name) do nothing;

-- A user in words. Reads auth.users as JSON, because Supabase may change its columns.
create or replace function odoo_sync.name_of_user(user_id uuid) returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  email text;
begin
  if user_id is null then
    return 'a service key';
  end if;
  if to_regclass('auth.users') is not null and has_table_privilege('auth.users', 'select') then
    select nullif(to_jsonb(u) ->> 'email', '') into email from auth.users u where u.id = user_id;
  end if;
  return coalesce(email, user_id::text);
end
$$;
comment on function odoo_sync.name_of_user(uuid) is 'The email of a user, else the id; without a user: a service key.';

-- For the components only, which have checked the caller: others could pass any name.
drop function if exists odoo_sync.act(text, text, uuid, bigint[]);
create or replace function odoo_sync.act(action text, job text, user_id uuid, ids bigint[] default null, options jsonb default '{}') returns jsonb
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  who text := odoo_sync.name_of_user(user_id);
  succeeded boolean := true;
  outcome text;
  advice text;
begin
  begin
    case act.action
      when 'retry' then
        outcome := format('Files put back into the queue: %s', odoo_sync.retry(act.ids));
      when 'pause' then
        outcome := 'Paused: ' || (select string_agg(p, ', ') from odoo_sync.pause(act.job) p);
        update odoo_sync.jobs j set paused_by = who where j.paused_at = now() and act.job in (j.name, j.component);
      when 'resume' then
        outcome := 'Resumed: ' || (select string_agg(r, ', ') from odoo_sync.resume(act.job) r);
      when 'run' then
        outcome := 'Called: ' || odoo_sync.run_now(act.job);
      when 'final_check' then
        outcome := format('Check %s is under way.', odoo_sync.begin_check(coalesce((act.options ->> 'read_data')::boolean, false), who));
      when 'acknowledge' then
        outcome := odoo_sync.acknowledge_for(act.options ->> 'entity', act.options ->> 'kind', act.ids, act.options ->> 'note', who);
      else
        raise exception 'there is no action %', act.action using hint = 'There are retry, pause, resume, run, final_check and acknowledge.';
    end case;
  exception when raise_exception then
    -- The message of the function that failed: the reason and the remedy.
    get stacked diagnostics outcome = message_text, advice = pg_exception_hint;
    succeeded := false;
  end;

  -- Rows are few, so each insert also deletes the old ones.
  delete from odoo_sync.actions a
  where a.done_at < now() - (odoo_sync.setting('keep_days.actions') #>> '{}')::numeric * interval '1 day';
  if act.action in ('retry', 'pause', 'resume', 'run', 'final_check', 'acknowledge') then
    insert into odoo_sync.actions (action, job, who, succeeded, outcome)
    values (act.action, act.job, who, succeeded, concat_ws(' ', outcome, nullif(advice, '')));
  end if;
  return jsonb_build_object('ok', succeeded, 'outcome', outcome, 'remedy', nullif(advice, ''));
end
$$;
comment on function odoo_sync.act(text, text, uuid, bigint[], jsonb) is 'Does what a person asked for on the card, and keeps who asked and what came of it.';

-- The archive: figures, what it works on now, and the batches that its speed is measured by.
create or replace function odoo_sync.archive_status() returns jsonb
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return jsonb_build_object(
    'progress', (select coalesce(jsonb_object_agg(p.bucket, jsonb_build_object('files', p.files, 'bytes', p.bytes)), '{}')
                   from odoo_sync.progress p),
    'listed', coalesce((select (c.position ->> 'complete')::boolean from odoo_sync.cursors c where c.name = 'archive-batch:discovery'), false),
    'paused', odoo_sync.is_paused('archive-batch'),
    'paused_since', (select max(j.paused_at) from odoo_sync.jobs j where j.component = 'archive-batch'),
    'paused_by', (select j.paused_by from odoo_sync.jobs j where j.component = 'archive-batch' order by j.paused_at desc nulls last limit 1),
    'next_attempt_at', (select a.next_attempt_at from public.odoo_attachments a
                         where a.state = 'pending' order by a.next_attempt_at, a.id limit 1),
    -- Runs that work now: as many as there are slots.
    'running', (select coalesce(jsonb_agg(jsonb_build_object(
                  'started_at', r.started_at, 'files', coalesce((r.counts ->> 'moved')::bigint, 0),
                  'bytes', coalesce((r.counts ->> 'bytes')::bigint, 0))), '[]')
                  from odoo_sync.runs r where r.job = 'archive-batch' and r.outcome = 'running' and r.leased_until > now()),
    'last_run', odoo_sync.last_run('archive-batch'),
    'batches', (select coalesce(jsonb_agg(jsonb_build_object(
                  'ended_at', l.created_at, 'elapsed_s', coalesce(l.elapsed_s, 0), 'files', l.migrated, 'bytes', coalesce(l.bytes, 0))), '[]')
                  from (select * from public.migration_logs m
                         where m.job = 'archive-batch' and m.created_at > now() - interval '1 hour' and m.migrated > 0
                         order by m.created_at desc limit 240) l));
end
$$;
comment on function odoo_sync.archive_status() is 'The archive''s part of odoo_sync.status().';

-- The newest run that has ended; a run under way says nothing yet.
create or replace function odoo_sync.last_run(job text) returns jsonb
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select jsonb_build_object(
             'mode', r.mode, 'started_at', r.started_at, 'finished_at', coalesce(r.finished_at, r.leased_until),
             'outcome', case r.outcome when 'running' then 'crashed' else r.outcome end,
             'counts', r.counts, 'fault', r.fault)
      from odoo_sync.runs r
     where r.job = last_run.job and (r.outcome <> 'running' or r.leased_until <= now())
     order by r.started_at desc limit 1);
end
$$;
comment on function odoo_sync.last_run(text) is 'The newest run of a component that is over.';

-- Failures by kind. The totals are in odoo_sync.progress; here are the newest 500 files each that are
-- dead and that wait for another attempt, and the runs that failed since their job last did its work.
create or replace function odoo_sync.failures() returns jsonb
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return jsonb_build_object(
    'files', (
      with newest as (
        (select a.id, a.name, a.state, a.reason, a.blame, a.message, a.failed_at
           from public.odoo_attachments a where a.state = 'dead' order by a.failed_at desc limit 500)
        union all
        (select a.id, a.name, a.state, a.reason, a.blame, a.message, a.failed_at
           from public.odoo_attachments a where a.state = 'pending' and a.attempts > 0 order by a.failed_at desc limit 500)
      ), grouped as (
        select coalesce(n.reason, 'unknown') as kind, count(*) as files, count(*) filter (where n.state = 'dead') as dead,
               max(n.failed_at) as newest_at, (array_agg(n.id order by n.failed_at desc nulls last, n.id desc))[1] as example
          from newest n group by 1 order by max(n.failed_at) desc nulls last, 1 limit 8
      )
      select coalesce(jsonb_agg(jsonb_build_object(
               'kind', g.kind, 'files', g.files, 'dead', g.dead, 'newest_at', g.newest_at, 'blame', n.blame,
               'id', n.id, 'name', left(n.name, 120), 'message', left(n.message, 300))
               order by g.newest_at desc nulls last, g.kind), '[]')
        from grouped g join newest n on n.id = g.example),
    'runs', (
      with newest as (
        select r.* from (select * from odoo_sync.runs q where q.outcome in ('error', 'crashed') order by q.finished_at desc limit 100) r
         where r.finished_at > coalesce(odoo_sync.last_worked(r.job), '-infinity')
      )
      select coalesce(jsonb_agg(to_jsonb(g) order by g.newest_at desc), '[]')
        from (select n.job, coalesce(n.fault ->> 'kind', 'unknown') as kind, count(*) as runs, max(n.finished_at) as newest_at,
                     left((array_agg(n.fault ->> 'message' order by n.finished_at desc))[1], 300) as message,
                     (array_agg(n.fault ->> 'blame' order by n.finished_at desc))[1] as blame
                from newest n group by 1, 2 order by max(n.finished_at) desc limit 6) g));
end
$$;
comment on function odoo_sync.failures() is 'The failures'' part of odoo_sync.status(): by kind, each with its newest example.';

-- A page of the files that wait for a person. Their number by kind is counted up to a limit only.
create or replace function odoo_sync.files_for_people(kind text, after_id bigint, most integer) returns jsonb
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  return jsonb_build_object(
    'files', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'id', a.id, 'name', left(a.name, 300), 'res_model', a.res_model, 'res_id', a.res_id, 'file_size', a.file_size, 'state', a.state,
               'kind', coalesce(a.reason, 'unknown'), 'blame', a.blame, 'message', left(a.message, 300), 'failed_at', a.failed_at,
               'deleted_at', a.deleted_at, 'accepted_by', w.who,
               'remedy', odoo_sync.remedy_of(case a.state when 'dead' then 'dead' else a.reason end)) order by a.id), '[]')
        from (select * from public.odoo_attachments f
               where (f.state = 'dead' or f.state = 'skipped' and f.reason in ('needs_password', 'over_size_limit'))
                 and f.id > files_for_people.after_id and (files_for_people.kind is null or coalesce(f.reason, 'unknown') = files_for_people.kind)
               order by f.id limit files_for_people.most) a
        left join odoo_sync.acknowledgements w
          on w.entity = 'attachments' and w.id = a.id and w.kind = case a.state when 'dead' then 'dead' else a.reason end),
    'kinds', (
      select coalesce(jsonb_agg(to_jsonb(g) order by g.files desc, g.kind), '[]')
        from (select coalesce(n.reason, 'unknown') as kind, n.state, count(*) as files, sum(n.file_size) as bytes
                from (select f.reason, f.state, f.file_size from public.odoo_attachments f
                       where f.state = 'dead' or f.state = 'skipped' and f.reason in ('needs_password', 'over_size_limit')
                       order by f.id limit 10000) n
               group by 1, 2 order by 3 desc limit 30) g));
end
$$;
comment on function odoo_sync.files_for_people(text, bigint, integer) is 'Files that wait for a person, by id, from behind after_id on: those that were given up, or wait for a password or a higher limit; and how many there are of each kind, of the first 10,000.';

-- The newest validation of each entity: a step for each entity, however long the log is.
create or replace function odoo_sync.last_validations() returns setof public.sync_validation_log
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return query
    with recursive entities as (
      (select l.entity from public.sync_validation_log l order by l.entity limit 1)
      union all
      select (select l.entity from public.sync_validation_log l where l.entity > e.entity order by l.entity limit 1)
        from entities e where e.entity is not null
    )
    select v.* from entities e
     cross join lateral (select * from public.sync_validation_log l where l.entity = e.entity order by l.created_at desc limit 1) v;
end
$$;
comment on function odoo_sync.last_validations() is 'The newest row of public.sync_validation_log for each entity.';

-- Each run records by entity as of which run's beginning the copy is complete, if it knows: not after a dry run, a run
-- of another mode, or one without time. The whole copy is as old as its oldest entity.
create or replace function odoo_sync.fresh_as_of(job text) returns timestamptz
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when bool_and(known.at is not null) then min(known.at) end
      from (select r.counts -> 'as_of' as entities from odoo_sync.runs r
             where r.job = fresh_as_of.job and r.outcome = 'success' and r.counts ? 'as_of'
             order by r.finished_at desc limit 1) newest
     cross join lateral jsonb_object_keys(newest.entities) e (name)
      left join lateral (
        select (select b.started_at from odoo_sync.runs b where b.id = (r.counts -> 'as_of' ->> e.name)::uuid) as at
          from odoo_sync.runs r
         where r.job = fresh_as_of.job and r.outcome = 'success' and r.counts -> 'as_of' ->> e.name is not null
         order by r.finished_at desc limit 1) known on true
  $$;
comment on function odoo_sync.fresh_as_of(text) is 'As of when Postgres has all that Odoo had; null until the first load is complete.';

create or replace function odoo_sync.sync_status(job text) returns jsonb
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return jsonb_build_object(
    'running', exists (select from odoo_sync.runs r where r.job = sync_status.job and r.outcome = 'running' and r.leased_until > now()),
    'paused', odoo_sync.is_paused(sync_status.job),
    'last_run', odoo_sync.last_run(sync_status.job),
    'fresh_as_of', odoo_sync.fresh_as_of(sync_status.job),
    'validations', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'entity', v.entity, 'verdict', v.verdict, 'checked_at', v.created_at, 'source_count', v.source_count,
               'destination_count', v.destination_count, 'missing', v.missing, 'extra', v.extra, 'stale', v.stale,
               'problem', left(v.detail ->> 'problem', 300),
               'before', (select p.verdict from public.sync_validation_log p where p.entity = v.entity and p.created_at < v.created_at
                           order by p.created_at desc limit 1))
               order by v.verdict = 'same', v.entity), '[]')
        from odoo_sync.last_validations() v left join odoo_sync.runs r on r.id = v.run_id
       -- If the run has been purged, the entity's name decides.
       where sync_status.job = coalesce(r.job, case
               when v.entity ~ '(message|chatter|tracking|field_change)' then 'chatter-sync'
               when v.entity = 'attachments' then 'archive-batch' else 'crm-sync' end)));
end
$$;
comment on function odoo_sync.sync_status(text) is 'A sync''s part of odoo_sync.status().';

create or replace function odoo_sync.status() returns jsonb
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  return jsonb_build_object(
    'server_time', clock_timestamp(),
    'archive', odoo_sync.archive_status(),
    -- The newest sign of life of the component; a refused call is not one.
    'last_tick', (select max(r.seen_at) from (select q.seen_at from odoo_sync.runs q where q.job = 'archive-batch'
                                               order by q.started_at desc limit 10) r),
    'jobs', (select coalesce(jsonb_agg(jsonb_build_object(
               'name', h.job, 'component', j.component, 'state', h.state, 'ok', h.ok, 'problem', h.problem, 'remedy', h.remedy,
               'last_run', h.last_run, 'last_success', h.last_success,
               'expected_next', case when j.paused_at is null and h.state not in ('not_scheduled', 'no_pg_cron', 'other_database')
                                     then coalesce(h.last_run, j.scheduled_at) + j.period end,
               'period_s', extract(epoch from j.period)::float8) order by h.job), '[]')
               from (select * from odoo_sync.health() limit 12) h join odoo_sync.jobs j on j.name = h.job),
    'log', (select coalesce(jsonb_agg(jsonb_build_object(
              'at', l.created_at, 'job', l.job, 'status', l.status, 'migrated', l.migrated, 'failed', l.failed, 'skipped', l.skipped,
              'bytes', l.bytes, 'remaining', l.remaining, 'elapsed_s', l.elapsed_s::float8, 'error', left(l.errors[1], 200),
              'errors', coalesce(cardinality(l.errors), 0)) order by l.created_at desc), '[]')
              from (select * from public.migration_logs m order by m.created_at desc limit 6) l),
    'failures', odoo_sync.failures(),
    'setup', (select jsonb_build_object('checked_at', c.checked_at, 'right_at', c.right_at,
                'wrong', (select count(*) from jsonb_path_query(c.lines, '$[*]') l where l ->> 'state' in ('failed', 'not_tried')))
                from odoo_sync.checks c where c.checked_at is not null),
    'last_failure', (select jsonb_build_object('at', r.finished_at, 'job', r.job, 'message', left(r.fault ->> 'message', 300))
                       from odoo_sync.runs r where r.outcome in ('error', 'crashed') order by r.finished_at desc limit 1),
    'syncs', jsonb_build_object('crm-sync', odoo_sync.sync_status('crm-sync'), 'chatter-sync', odoo_sync.sync_status('chatter-sync')));
end
$$;
comment on function odoo_sync.status() is 'Everything that GET /status is made of, in one document.';

revoke execute on all routines in schema odoo_sync from public;
grant execute on function odoo_sync.status() to odoo_sync, authenticated, service_role;
grant execute on function odoo_sync.files_for_people(text, bigint, integer) to odoo_sync, authenticated, service_role;
grant execute on function odoo_sync.act(text, text, uuid, bigint[], jsonb) to odoo_sync;

commit;
