-- odoo-to-supabase, 6: what is wrong, in words, with the remedy.
--
--   select job, state, problem, remedy from odoo_sync.health();
--
-- A job is looked at in the order in which its tick travels: is it scheduled, did its command run,
-- was it answered, did anything move. The first thing that is wrong is its state; further ones are
-- in detail. Each look is a function that returns findings, none where all is well.

begin;

-- If the components cannot log in: is their role the reason? Only a superuser sees whether it has a password.
create or replace function odoo_sync.look_at_role() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  r record;
  without_password boolean := false;
begin
  select a.rolcanlogin, a.rolvaliduntil into r from pg_roles a where a.rolname = 'odoo_sync';
  if has_table_privilege('pg_authid', 'select') then
    without_password := exists (select from pg_authid a where a.rolname = 'odoo_sync' and a.rolpassword is null);
  end if;
  if r.rolcanlogin and coalesce(r.rolvaliduntil, 'infinity') > now() and not without_password then
    return '{}';
  end if;
  return array[odoo_sync.finding('role_locked',
    format('The components cannot log in: role odoo_sync %s.', case when not r.rolcanlogin then 'may not log in'
      when without_password then 'has no password, as after a restore' else format('has a password that ran out at %s', odoo_sync.moment(r.rolvaliduntil)) end),
    'Run: select odoo_sync.new_password(), which shows a new one; set the variable db_password to it, and start the components again.')];
end
$$;
comment on function odoo_sync.look_at_role() is 'Findings about the role of the components, where they cannot log in.';

drop function if exists odoo_sync.net_worker_is_down();
create or replace function odoo_sync.net_worker_fault() returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  -- The check reads pg_stat_activity, which hides other roles' processes from those without this right.
  if to_regprocedure('net.check_worker_is_up()') is null or not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
    return null;
  end if;
  perform net.check_worker_is_up();
  return null;
exception when others then
  return sqlerrm;
end
$$;
comment on function odoo_sync.net_worker_fault() is 'What pg_net says against its worker; null where it says nothing.';

-- When a component last completed a run of its whole work, with or without changes: failures before that are over.
-- A dry run, or a run of a part, says nothing about the rest.
create or replace function odoo_sync.last_worked(component text) returns timestamptz
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select r.finished_at from odoo_sync.runs r
    where r.job = last_worked.component and r.outcome = 'success'
      and coalesce(r.mode, '') not in ('dry_run', 'discover', 'verify', 'validate') and r.counts ->> 'only' is null
    order by r.finished_at desc limit 1
  $$;
comment on function odoo_sync.last_worked(text) is 'When a component last ended a run of its whole work with success.';

-- If ticks arrive: does the component get anything done?
create or replace function odoo_sync.look_at_progress(j odoo_sync.jobs) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  since timestamptz := greatest(j.scheduled_at, now() - greatest(4 * j.period, interval '1 hour'));
  ticks record;
  batches record;
  runs record;
  newest jsonb;
begin
  if j.path is null or exists (
    select from odoo_sync.runs r where r.job = j.component and r.outcome = 'running' and r.leased_until > now()
  ) then
    return '{}';
  end if;

  select count(*) as number, min(c.called_at) as first into ticks
  from odoo_sync.recent_calls(j.name, since, 3) c where c.status_code between 200 and 299;
  if ticks.number = 3
    and not exists (select from odoo_sync.runs r where r.job = j.component and r.seen_at >= ticks.first)
    and not exists (select from public.migration_logs l where l.job = j.component and l.created_at >= ticks.first and l.status <> 'auth_error')
  then
    return array[odoo_sync.finding('not_moving',
      format('Calls are answered, but no run is recorded since %s: something else answers at the address, or the components use another database.', odoo_sync.moment(ticks.first)),
      'Check base_url (select odoo_sync.setting(''base_url'')) and the components'' variables db_host and db_name.')];
  end if;

  -- A run without changes writes no log row, so a fault may be over although its rows are the newest. Only the archive
  -- has a number of remaining files.
  select count(*) as number,
         bool_and(l.migrated = 0 and case l.status when 'error' then coalesce(l.created_at > odoo_sync.last_worked(j.component), true)
                                                   else j.component = 'archive-batch' and l.remaining > 0 end) as idle,
         max(l.remaining) filter (where j.component = 'archive-batch') as remaining,
         (array_agg(l.errors[1] order by l.created_at desc) filter (where l.errors[1] is not null))[1] as said
  into batches
  from (select * from public.migration_logs m
        where m.job = j.component and m.status <> 'auth_error' and m.created_at >= since order by m.created_at desc limit 3) l;
  select r.fault into newest from odoo_sync.runs r
   where r.job = j.component and r.started_at >= since and r.outcome <> 'running' order by r.started_at desc limit 1;
  if batches.number = 3 and batches.idle then
    return array[odoo_sync.finding('not_moving',
      'Ticks arrive, but nothing moves: the last 3 batches moved nothing' || coalesce(format(' of %s that remain', batches.remaining), '') || coalesce(format(' (%s)', newest ->> 'kind'), '') || '.',
      coalesce(newest ->> 'remedy', 'See the errors in public.migration_logs' || case when j.component = 'archive-batch'
        then ', and public.odoo_attachments where state is dead or attempts > 0; odoo_sync.retry() gives dead files another try.' else '.' end),
      jsonb_build_object('remaining', batches.remaining, 'error', batches.said), 'The last says: ' || batches.said)];
  end if;

  select count(*) as number, bool_and(r.outcome <> 'success') as failing,
         bool_and(r.outcome <> 'error') as silent, (array_agg(r.fault order by r.started_at desc) filter (where r.fault is not null))[1] as fault
  into runs
  from (select * from odoo_sync.runs q where q.job = j.component and q.started_at >= since and (q.outcome <> 'running' or q.leased_until < now())
        order by q.started_at desc limit 3) r;
  if runs.number = 3 and runs.failing then
    return array[odoo_sync.finding('not_moving',
      case when runs.silent then 'The last 3 runs began, and ended without a report.'
        else 'The last 3 runs failed' || coalesce(format(' (%s)', runs.fault ->> 'kind'), '') || '.' end,
      case when runs.silent then 'The components were stopped in mid-run: look at the memory and time limits of where they run, and their log.'
        else coalesce(runs.fault ->> 'remedy', 'See odoo_sync.runs and the components'' log.') end,
      jsonb_build_object('fault', runs.fault), case when not runs.silent then runs.fault ->> 'message' end)];
  end if;
  return '{}';
end
$$;
comment on function odoo_sync.look_at_progress(odoo_sync.jobs) is 'Findings about what a job''s component achieved.';

-- Does another job do the same work?
create or replace function odoo_sync.look_for_doubles(j odoo_sync.jobs) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  own bigint;
  other record;
begin
  select c.jobid into own from cron.job c where c.jobname = j.name order by (c.username = current_user) desc, c.jobid limit 1;
  select c.* into other from cron.job c
    where c.jobid <> own and c.active and (c.jobname = j.name
      or (j.path is not null and c.command ~ (j.path || '\M') and not exists (select from odoo_sync.jobs k where k.name = c.jobname)))
    order by c.jobid limit 1;
  if other.jobid is null then
    return '{}';
  end if;
  return array[odoo_sync.finding('doubled', format('Job %s %s of role %s does the same work.', other.jobid, coalesce('(' || other.jobname || ')', '(without a name)'), other.username),
    format('Run: select * from odoo_sync.schedule(); what it cannot take over, role %s removes by select cron.unschedule(%s)', other.username, other.jobid),
    jsonb_build_object('jobid', other.jobid))];
end
$$;
comment on function odoo_sync.look_for_doubles(odoo_sync.jobs) is 'Findings about other jobs that do a job''s work.';

-- Is the copy still what Odoo has? Reported once for a component, at the job that runs most often.
create or replace function odoo_sync.look_at_copies(j odoo_sync.jobs) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  findings jsonb[] := '{}';
  turned record;
  days numeric := (odoo_sync.setting('compare_days.' || j.component) #>> '{}')::numeric;
  overdue record;
begin
  if j.name <> (select k.name from odoo_sync.jobs k where k.component = j.component order by k.period, k.name limit 1) then
    return '{}';
  end if;
  select count(*) as records, min(u.since) as since, (array_agg(format('%s %s', u.model, u.id) order by u.since, u.id))[1] as example
    into turned from odoo_sync.unreadable u where u.job = j.component and u.hidden;
  if turned.records > 0 then
    findings := findings || odoo_sync.finding('hidden',
      format('%s records that are here can no longer be seen by the Odoo user, since %s, such as %s. They are not deleted, and what changes in them is missed.',
        turned.records, odoo_sync.moment(turned.since), turned.example),
      'Give the Odoo user back the company or the group that it lost; select model, id, since from odoo_sync.unreadable where hidden lists them.',
      jsonb_build_object('hidden', turned.records));
  end if;
  -- Contents were never compared by what was here before version 3.
  select count(*) as entities, min(c.at) as since, (array_agg(c.entity order by c.at, c.entity))[1] as example into overdue
    from (select split_part(k.name, ':', 2) as entity,
                 coalesce((k.position ->> 'compared')::timestamptz, (select v.applied_at from odoo_sync.schema_versions v where v.version = 3)) as at
            from odoo_sync.cursors k
           where k.name like j.component || ':%' and k.position ->> 'complete' = 'true' and k.position ->> 'shape' <> 'forbidden') c
   where c.at < now() - (2 * days + 1) * interval '1 day';
  if overdue.entities > 0 then
    findings := findings || odoo_sync.finding('not_compared',
      format('The contents of %s were last compared with Odoo''s at %s, though they should be every %s days.',
        overdue.example, odoo_sync.moment(overdue.since), days),
      format('It goes on by itself where the runs have time for it: give it more by %s_batch_seconds, or compare less often by odoo_sync.set(''compare_days.%s'', …).',
        split_part(j.component, '-', 1), j.component),
      jsonb_build_object('entities', overdue.entities));
  end if;
  return findings;
end
$$;
comment on function odoo_sync.look_at_copies(odoo_sync.jobs) is 'Findings about what a component has copied: records that turned invisible, contents that were not compared for too long.';

-- Objects that a verification found missing or different. Those that it has queued again are being repaired, and those
-- whose content Odoo has lost as well need no repair.
create or replace function odoo_sync.look_for_lost() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  lost record;
begin
  select count(*) filter (where a.deleted_at is null) as files, count(*) filter (where a.deleted_at is not null) as kept,
         max(a.lost_at) as seen_at, min(a.id) as example into lost
    from public.odoo_attachments a where a.lost_at is not null and a.state in ('moved', 'dead');
  if lost.example is null then
    return '{}';
  end if;
  return array[odoo_sync.finding('objects_lost',
    format('The objects of %s moved files, or their bytes, are missing in Storage or others by now, such as that of file %s: seen by the verification of %s.%s',
      lost.files + lost.kept, lost.example, odoo_sync.moment(lost.seen_at),
      case when lost.kept > 0 then format(' Odoo has deleted %s of these files.', lost.kept) else '' end),
    -- The card shows 200 characters.
    case when lost.files > 0
      then 'Call archive-batch with {"mode": "verify", "repair": true}: it reads them again, and sends what is missing. List: select id, object_path from public.odoo_attachments where lost_at is not null'
      else 'Put the objects back from a copy and verify, or let the files go: delete from public.odoo_attachments where lost_at is not null and deleted_at is not null' end,
    jsonb_build_object('lost', lost.files + lost.kept))];
end
$$;
comment on function odoo_sync.look_for_lost() is 'Findings about objects that a verification missed and nobody has repaired.';

-- Notices of the files of sql/, until a person deletes them.
create or replace function odoo_sync.look_for_notices() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  words text[] := array(select n.words from odoo_sync.notices n order by n.id);
begin
  if words = '{}' then
    return '{}';
  end if;
  return array[odoo_sync.finding('notice', left(array_to_string(words, ' '), 2000), 'When you have read it: delete from odoo_sync.notices',
    jsonb_build_object('notices', words))];
end
$$;
comment on function odoo_sync.look_for_notices() is 'Findings that are no faults: what these files did by themselves.';

-- Can alarms be delivered?
create or replace function odoo_sync.look_for_undelivered() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  newest record;
begin
  if to_regclass('odoo_sync.alerts') is null then
    return '{}'; -- A later file creates it.
  end if;
  for newest in
    select distinct on (a.event = 'heartbeat') a.* from odoo_sync.alerts a
    where a.answered_at is not null order by a.event = 'heartbeat', a.id desc
  loop
    if newest.status_code between 200 and 299 then
      continue;
    end if;
    return array[odoo_sync.finding('undelivered',
      format('The %s of %s was not taken: %s.', case newest.event when 'heartbeat' then 'heartbeat' else 'alarm' end, odoo_sync.moment(newest.posted_at),
        coalesce('the address answered ' || newest.status_code, newest.error, 'no answer came')),
      format('Look whether the address is still good, set it anew by odoo_sync.set(%L, …), then run: select odoo_sync.alert_test()',
        case newest.event when 'heartbeat' then 'heartbeat_url' else 'alert_url' end),
      jsonb_build_object('event', newest.event, 'status_code', newest.status_code))];
  end loop;
  return '{}';
end
$$;
comment on function odoo_sync.look_for_undelivered() is 'Findings about alarms and heartbeats that did not arrive.';

-- Findings of the last check by the components that will break something later.
create or replace function odoo_sync.warnings_of_check() returns jsonb[]
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(odoo_sync.finding('ok', format('%s: %s', l.line ->> 'name', l.line ->> 'found'), l.line ->> 'remedy') order by l.nth), '{}')
      from odoo_sync.checks c cross join lateral jsonb_path_query(c.lines, '$[*]') with ordinality l (line, nth)
     where c.checked_at > now() - interval '2 days' and l.line ->> 'state' in ('warning', 'failed')
       and l.line ->> 'name' in ('API key of Odoo', 'size limit', 'MIME types', 'Postgres', 'clocks')
  $$;
comment on function odoo_sync.warnings_of_check() is 'Warnings of the last look whether all is set up right, as findings.';

-- Does something grow too large? Uses Postgres's own estimates; nothing is counted.
create or replace function odoo_sync.warnings_of_room() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  warnings jsonb[] := '{}';
  grown record;
  room numeric := (odoo_sync.setting('database_bytes') #>> '{}')::numeric;
begin
  if room is not null and pg_database_size(current_database()) > 0.9 * room then
    warnings := warnings || odoo_sync.finding('ok', format('The database has %s of the %s that database_bytes says.',
        pg_size_pretty(pg_database_size(current_database())), pg_size_pretty(room)),
      'Enlarge the disk in the dashboard and set database_bytes to what it has then, or make room: Supabase sets a database to read-only whose disk is nearly full.',
      jsonb_build_object('database_bytes', pg_database_size(current_database())));
  end if;
  for grown in
    select n.nspname as of_schema, c.relname as of_table, c.reltuples::bigint as number
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'cron' and c.relname = 'job_run_details' and c.reltuples > 1000000
        or n.nspname = 'net' and c.relname = '_http_response' and c.reltuples > 100000
     order by 1
  loop
    warnings := warnings || odoo_sync.finding('ok', format('%s.%s has some %s rows, nearly all of other jobs than these.', grown.of_schema, grown.of_table, grown.number),
      case grown.of_schema
        when 'cron' then 'pg_cron keeps every run for ever. Run: select cron.schedule(''cron-history'', ''17 4 * * *'', ''delete from cron.job_run_details where end_time < now() - interval ''''7 days'''''')'
        else 'pg_net keeps answers for pg_net.ttl, 6 hours by default: look who calls so often, or make that shorter.' end,
      jsonb_build_object(grown.of_schema || '.' || grown.of_table, grown.number));
  end loop;
  return warnings;
end
$$;
comment on function odoo_sync.warnings_of_room() is 'Warnings about what grows: the database, and the tables of pg_cron and pg_net.';

create or replace function odoo_sync.diagnose()
  returns table (job text, state text, ok boolean, problem text, said text, remedy text, last_run timestamptz, last_success timestamptz, detail jsonb)
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  j odoo_sync.jobs;
  findings jsonb[];
  entry record;
  left_out bigint;
  set_aside bigint;
  resent bigint;
  storage jsonb;
  warnings jsonb[];
  runs jsonb := '{}';
begin
  if to_regclass('cron.job_run_details') is not null then
    runs := odoo_sync.cron_runs();
  end if;
  for j in select * from odoo_sync.jobs order by name loop
    findings := odoo_sync.look_at_schedule(j, runs);
    if not exists (select from unnest(findings) f where f ->> 'state' in ('not_scheduled', 'no_pg_cron', 'other_database')) then
      findings := findings || odoo_sync.look_at_calls(j) || odoo_sync.look_at_progress(j) || odoo_sync.look_for_doubles(j);
    end if;
    if j.name = 'odoo-sync-alarm' then
      findings := findings || odoo_sync.look_for_undelivered();
    end if;
    if j.component = 'archive-batch' then
      findings := findings || odoo_sync.look_for_lost();
    end if;
    if j.name = 'odoo-sync-purge' then
      findings := findings || odoo_sync.look_at_sequences() || odoo_sync.look_for_notices();
    elsif j.scheduled_at is not null then
      findings := findings || odoo_sync.look_at_copies(j);
    end if;

    job := j.name;
    last_run := greatest(j.ran_at, (select max(c.called_at) from odoo_sync.calls c where c.job = j.name));
    last_success := j.ran_at;
    if to_regclass('cron.job') is not null then
      for entry in select * from cron.job c where c.jobname = j.name loop
        last_run := greatest(last_run, (runs -> entry.jobid::text ->> 'started_at')::timestamptz);
        if j.path is null then
          last_success := greatest(last_success, (runs -> entry.jobid::text ->> 'succeeded_at')::timestamptz);
        end if;
      end loop;
    end if;
    if j.path is not null then
      last_success := greatest(
        (select max(r.finished_at) from odoo_sync.runs r where r.job = j.component and r.outcome = 'success'),
        (select max(l.created_at) from public.migration_logs l where l.job = j.component and l.status = 'success'));
    end if;

    -- `waiting` is reported only if there is nothing else.
    if exists (select from unnest(findings) f where f ->> 'state' <> 'waiting') then
      findings := array(select f from unnest(findings) with ordinality u (f, n) where f ->> 'state' <> 'waiting' order by n);
    elsif cardinality(findings) = 0 and last_run is null then
      findings := array[odoo_sync.finding('waiting', 'It has not run yet.', format('Wait for its first run, or: select odoo_sync.run_now(%L)', j.name))];
    elsif cardinality(findings) = 0 then
      findings := array[odoo_sync.finding('ok', null, null)];
    end if;
    state := findings[1] ->> 'state';
    ok := state in ('ok', 'waiting', 'paused', 'notice');
    problem := findings[1] ->> 'problem';
    said := findings[1] ->> 'said';
    remedy := findings[1] ->> 'remedy';
    detail := findings[1] -> 'detail';
    if cardinality(findings) > 1 then
      detail := detail || jsonb_build_object('also',
        (select jsonb_agg((f - 'said') || jsonb_build_object('problem', concat_ws(' ', f ->> 'problem', f ->> 'said'))) from unnest(findings[2:]) f));
    end if;
    -- Findings that do not keep a job from working are reported if nothing else is wrong.
    warnings := '{}';
    left_out := (select count(*) from odoo_sync.unreadable u where u.job = j.component);
    if left_out > 0 then
      detail := coalesce(detail, '{}') || jsonb_build_object('unreadable', left_out);
      warnings := warnings || odoo_sync.finding('ok', format('%s records or fields of Odoo cannot be read and are left out.', left_out),
        format('Run: select model, id, fields, said, since from odoo_sync.unreadable where job = %L. Give the Odoo user the right, or mend the record in Odoo.', j.component));
    end if;
    set_aside := case when j.component = 'archive-batch' then odoo_sync.waiting() else 0 end;
    if set_aside > 0 then
      detail := coalesce(detail, '{}') || jsonb_build_object('waiting', set_aside);
      warnings := warnings || odoo_sync.finding('ok', format('%s files wait for a password or a higher limit.', set_aside),
        'Set odoo_password, or raise archive_max_file_bytes or archive_max_rpc_bytes: they are taken up by themselves.');
    end if;
    if j.component = 'archive-batch' then
      resent := (select count(*) from public.odoo_attachments a where a.lost_at is not null and a.state = 'pending');
      if resent > 0 then
        detail := coalesce(detail, '{}') || jsonb_build_object('resent', resent);
        warnings := warnings || odoo_sync.finding('ok', format('%s files whose objects were missing in Storage are in the queue again.', resent),
          'Wait until it is empty; then verify once more: {"mode": "verify"}.');
      end if;
      storage := (select r.counts -> 'storage' from odoo_sync.runs r
                   where r.job = j.component and jsonb_typeof(r.counts -> 'storage') = 'object' and r.started_at > now() - interval '1 day'
                   order by r.started_at desc limit 1);
      if storage is not null then
        detail := coalesce(detail, '{}') || jsonb_build_object('storage', storage);
      end if;
      if storage -> 'legacy_key' = 'true' then
        warnings := warnings || odoo_sync.finding('ok', 'The variable storage_key is a legacy key, which Supabase retires at the end of 2026: from then on no file would be moved.',
          'Make a secret key in the dashboard under Settings, API Keys, set storage_key to it (sb_secret_…), and start the components again.');
      end if;
    end if;
    warnings := warnings || case when j.component = 'archive-batch' then odoo_sync.warnings_of_check()
      when j.name = 'odoo-sync-purge' then odoo_sync.warnings_of_room() else '{}' end;
    for entry in select w -> 'detail' as figures from unnest(warnings) w where w -> 'detail' <> '{}' loop
      detail := coalesce(detail, '{}') || entry.figures;
    end loop;
    if state = 'ok' and cardinality(warnings) > 0 then
      problem := (select string_agg(w ->> 'problem', ' ') from unnest(warnings) w);
      remedy := (select string_agg(w ->> 'remedy', ' ') from unnest(warnings) w);
    end if;
    return next;
  end loop;
end
$$;
comment on function odoo_sync.diagnose() is 'As odoo_sync.health(), with the messages of other systems in a column of their own.';

create or replace function odoo_sync.health()
  returns table (job text, state text, ok boolean, problem text, remedy text, last_run timestamptz, last_success timestamptz, detail jsonb)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  return query select d.job, d.state, d.ok, nullif(concat_ws(' ', d.problem, d.said), ''), d.remedy, d.last_run, d.last_success, d.detail
    from odoo_sync.diagnose() d;
end
$$;
comment on function odoo_sync.health() is 'Each job''s state, and what is wrong with it, why and what to do, in words.';

create or replace view odoo_sync.health_view as select * from odoo_sync.health();
comment on view odoo_sync.health_view is 'odoo_sync.health() as a view.';
comment on column odoo_sync.health_view.job is 'The job, by its name in cron.job.';
comment on column odoo_sync.health_view.state is 'ok, waiting (no outcome yet), paused, or what is wrong, in a word.';
comment on column odoo_sync.health_view.ok is 'False where somebody has to do something.';
comment on column odoo_sync.health_view.problem is 'What is wrong and why, in a sentence.';
comment on column odoo_sync.health_view.remedy is 'What to do about it.';
comment on column odoo_sync.health_view.last_run is 'When pg_cron last ran it.';
comment on column odoo_sync.health_view.last_success is 'When its component last succeeded.';
comment on column odoo_sync.health_view.detail is 'Figures, and under also whatever else is wrong.';

revoke execute on all routines in schema odoo_sync from public;
revoke all on odoo_sync.health_view from public, anon, authenticated;
grant execute on function odoo_sync.health() to odoo_sync, authenticated, service_role;
grant select on odoo_sync.health_view to odoo_sync, authenticated, service_role;

commit;
