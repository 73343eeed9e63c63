-- odoo-to-supabase, 6: the way of a call: is its job scheduled, did the command run, was the call answered. Each look is
-- a function that returns findings, none where all is well; odoo_sync.health() puts them together.

begin;

drop function if exists odoo_sync.finding(text, text, text, jsonb);
create or replace function odoo_sync.finding(state text, problem text, remedy text, detail jsonb default '{}', said text default null) returns jsonb
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('state', state, 'problem', problem, 'remedy', remedy, 'detail', coalesce(detail, '{}'), 'said', said)
  $$;
comment on function odoo_sync.finding(text, text, text, jsonb, text) is 'Something to say about a job. What others said, which may name customers, is apart: an alarm leaves it out.';

create or replace function odoo_sync.moment(at timestamptz) returns text
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  $$;
comment on function odoo_sync.moment(timestamptz) is 'A moment as people read it: UTC, to the second.';

-- The newest run of each of our jobs according to pg_cron, with the command that it has now. One query for all jobs
-- that looks back a bounded number of rows, because other jobs may have millions of rows in that table. A run that has
-- not ended says nothing yet; a run that could not be started has no times.
create or replace function odoo_sync.cron_runs() returns jsonb
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (
    with ended as (
      select d.jobid, d.runid, d.status, d.return_message, d.start_time, d.end_time
        from (select * from cron.job_run_details order by runid desc limit 20000) d
        join cron.job c on c.jobid = d.jobid and c.command = d.command
       where c.jobname in (select j.name from odoo_sync.jobs j) and (d.status in ('succeeded', 'failed') or d.start_time is not null)
    ), newest as (
      -- In the minute of a run it has often just begun: then the result of the run before it counts.
      select e.jobid, coalesce(max(e.runid) filter (where e.status in ('succeeded', 'failed')), max(e.runid)) as runid, max(e.start_time) as started_at,
             max(e.end_time) filter (where e.status = 'succeeded') as succeeded_at
        from ended e group by e.jobid
    )
    select coalesce(jsonb_object_agg(n.jobid, to_jsonb(n) || jsonb_build_object(
             'status', e.status, 'message', e.return_message, 'start_time', e.start_time)), '{}')
      from newest n join ended e using (jobid, runid));
end
$$;
comment on function odoo_sync.cron_runs() is 'The newest run of each job by pg_cron, by the job''s number.';

-- A job's calls with their answers, copied already or still with pg_net, newest first.
create or replace function odoo_sync.recent_calls(job text, since timestamptz, at_most integer)
  returns setof odoo_sync.calls
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if odoo_sync.net_state() <> 'open' then
    return query select * from odoo_sync.calls c
      where c.job = recent_calls.job and (since is null or c.called_at >= since) order by c.id desc limit at_most;
    return;
  end if;
  return query
    select c.id, c.job, c.request_id, c.called_at, coalesce(c.answered_at, r.created), coalesce(c.status_code, r.status_code),
           coalesce(c.timed_out, r.timed_out), coalesce(c.error, r.error_msg), coalesce(c.content, odoo_sync.own_answer(r.content))
    from (select * from odoo_sync.calls k
          where k.job = recent_calls.job and (since is null or k.called_at >= since) order by k.id desc limit at_most) c
    left join lateral (
      select * from net._http_response n
      where c.answered_at is null and n.id = c.request_id and n.created >= c.called_at - interval '1 second'
      order by n.created limit 1) r on true
    order by c.id desc;
end
$$;
comment on function odoo_sync.recent_calls(text, timestamptz, integer) is 'The newest calls of a job, with their answers.';

-- Is there a pg_cron for this database?
create or replace function odoo_sync.look_at_cron() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if to_regclass('cron.job') is null then
    return array[case when current_setting('cron.database_name', true) <> current_database() then odoo_sync.finding('other_database',
        format('pg_cron works in the database %s only, and this one is %s: nothing runs.', current_setting('cron.database_name', true), current_database()),
        'Run the files of sql/ in that database and let the components use it (db_name); or set cron.database_name to this one and restart the database.')
      else odoo_sync.finding('no_pg_cron', 'The extension pg_cron is missing, so nothing runs.',
        'Switch on pg_cron in the dashboard under Database, Extensions, then run odoo_sync.schedule().') end];
  end if;
  return '{}';
end
$$;
comment on function odoo_sync.look_at_cron() is 'Findings about the extension pg_cron.';

-- What every call needs: pg_net, an address and a key.
create or replace function odoo_sync.look_at_means() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  findings jsonb[] := '{}';
begin
  if odoo_sync.net_state() = 'missing' then
    findings := findings || odoo_sync.finding('no_pg_net', 'The extension pg_net is missing, so nothing can be called.',
      'Switch on pg_net in the dashboard under Database, Extensions.');
  elsif odoo_sync.net_state() = 'closed' then
    findings := findings || odoo_sync.net_grants_finding('the role has no right to use schema net or its tables');
  end if;
  if odoo_sync.setting('base_url') #>> '{}' is null then
    findings := findings || odoo_sync.finding('no_base_url', 'It is not known where the components are.',
      'Run: select * from odoo_sync.schedule(''https://…''), with the address of the components.');
  end if;
  if odoo_sync.vault_key() is null then
    findings := findings || case
      when odoo_sync.vault_fault() is not null then odoo_sync.finding('vault_unreadable',
        format('The vault cannot be read (%s): most likely it came here by a restore, and its root key is another project''s. So the job has no key to call with.', rtrim(odoo_sync.vault_fault(), '.')),
        'Run: select odoo_sync.rotate_key(), which puts a new key into it. Secrets of other programs are to be made anew too.')
      else odoo_sync.finding('vault_missing',
        'The vault holds no secret odoo_sync_key, or an empty one, so the job has no key to call with.',
        'Run: select odoo_sync.rotate_key()') end;
  end if;
  return findings;
end
$$;
comment on function odoo_sync.look_at_means() is 'Findings about what every call needs: pg_net, an address and a key.';

-- Is it scheduled, by this schema, and able to call?
create or replace function odoo_sync.look_at_schedule(j odoo_sync.jobs, runs jsonb) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  findings jsonb[] := '{}';
  entry record;
  other record;
  key text;
begin
  if to_regclass('cron.job') is null then
    return odoo_sync.look_at_cron();
  end if;

  select c.* into entry from cron.job c where c.jobname = j.name order by (c.username = current_user) desc, c.jobid limit 1;
  if entry.jobid is null then
    select c.* into other from cron.job c
      where j.path is not null and c.command ~ (j.path || '\M') and not exists (select from odoo_sync.jobs k where k.name = c.jobname) limit 1;
    if other.jobid is null and j.scheduled_at is not null and odoo_sync.setting('base_url') #>> '{}' is not null then
      return array[odoo_sync.finding('not_scheduled',
        format('Job %s was scheduled at %s and is not there any more: it did not come along with a restore or a move, or somebody removed it.', j.name, odoo_sync.moment(j.scheduled_at)),
        format('If this is the project that %s works for, run: select * from odoo_sync.schedule(); else, as in a copy for tests, run it with that one''s address.', odoo_sync.setting('base_url') #>> '{}'))];
    elsif other.jobid is null then
      return array[odoo_sync.finding('not_scheduled', format('There is no job %s.', j.name),
        'Run: select * from odoo_sync.schedule(''https://…''), with the address of the components.')];
    end if;
    findings := findings || odoo_sync.finding('not_scheduled',
      format('There is no job %s; job %s %s calls the same function, but %s.', j.name, other.jobid,
        coalesce('(' || other.jobname || ')', '(without a name)'), odoo_sync.faults_of(other.command)),
      'Run: select * from odoo_sync.schedule(''https://…''), which takes it over and keeps its old command in odoo_sync.replaced_jobs.',
      jsonb_build_object('jobid', other.jobid));
    if odoo_sync.holds_clear_key(other.command) then
      findings := findings || odoo_sync.clear_key_finding(other.jobid);
    end if;
    return findings;
  end if;

  if j.paused_at is not null then
    findings := findings || odoo_sync.finding('paused', format('Paused since %s by %s.', odoo_sync.moment(j.paused_at), coalesce(j.paused_by, 'somebody')),
      format('Run: select odoo_sync.resume(%L)', j.name));
  elsif not entry.active then
    findings := findings || odoo_sync.finding('paused', 'The job is switched off in pg_cron.',
      format('Run: select * from odoo_sync.schedule(only_jobs := array[%L])', j.name));
  end if;

  if entry.database <> current_database() then
    findings := findings || odoo_sync.finding('other_database',
      format('Job %s runs in the database %s, where these functions are not.', entry.jobid, entry.database),
      format('Run: select cron.unschedule(%s); then select * from odoo_sync.schedule()', entry.jobid), jsonb_build_object('jobid', entry.jobid));
  elsif entry.username <> current_user and entry.command = odoo_sync.command_of(j)
    and not exists (select from pg_roles r where r.rolname = entry.username and pg_has_role(r.oid, current_user, 'usage')) then
    findings := findings || odoo_sync.finding('other_role',
      format('Job %s runs as role %s, which may not call what it calls.', entry.jobid, entry.username),
      format('Run, as that role or a superuser: select cron.unschedule(%s); then, as %s: select * from odoo_sync.schedule()', entry.jobid, current_user),
      jsonb_build_object('jobid', entry.jobid));
  end if;

  findings := findings || odoo_sync.look_at_runs(j, entry.command, runs -> entry.jobid::text);

  if odoo_sync.holds_clear_key(entry.command) then
    findings := findings || odoo_sync.clear_key_finding(entry.jobid);
  end if;
  if entry.command <> odoo_sync.command_of(j) then
    findings := findings || odoo_sync.finding('foreign_command', format('The job %s.', odoo_sync.faults_of(entry.command)),
      'Run: select * from odoo_sync.schedule(''https://…''), which takes it over and keeps its old command in odoo_sync.replaced_jobs.');
  end if;

  if j.path is not null then
    findings := findings || odoo_sync.look_at_means();
  end if;
  return findings;
end
$$;
comment on function odoo_sync.look_at_schedule(odoo_sync.jobs, jsonb) is 'Findings about a job up to the moment it calls.';

create or replace function odoo_sync.net_grants_finding(said text) returns jsonb
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select odoo_sync.finding('net_grants',
      format('Role %s may not use pg_net (%s): an upgrade of Postgres or of the extension has been seen to break its grants.', current_user, rtrim(said, '.')),
      format('Switch pg_net off and on again in the dashboard under Database, Extensions; or, as a superuser, run: grant usage on schema net to %I; grant select, insert, delete on all tables in schema net to %1$I; grant usage on all sequences in schema net to %1$I', current_user),
      jsonb_build_object('message', said))
  $$;
comment on function odoo_sync.net_grants_finding(text) is 'The finding for grants of pg_net that are broken.';

-- The finding for a pasted key, with what recent answers say about it. pg_net stores no address with an answer, so
-- the answers to this job cannot be told from others.
create or replace function odoo_sync.clear_key_finding(jobid bigint) returns jsonb
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  refused bigint := 0;
  cut_off bigint := 0;
begin
  if odoo_sync.net_state() = 'open' then
    select count(*) filter (where r.status_code in (401, 403)), count(*) filter (where r.timed_out) into refused, cut_off
    from net._http_response r
    where r.created > now() - interval '6 hours'
      and not exists (select from odoo_sync.calls c where c.request_id = r.id and c.called_at <= r.created + interval '1 second');
  end if;
  return odoo_sync.finding('clear_text_key',
    format('The command of job %s holds what looks like a key in clear text: everybody who may read cron.job can use it, and it goes stale when the key is changed.', jobid)
      || case when refused > 0 then format(' %s answers of the last 6 hours were a 401 or 403 and belong to no job of this schema: the key is stale already.', refused) else '' end
      || case when cut_off > 0 then format(' %s calls were cut off by a timeout.', cut_off) else '' end,
    'Run: select * from odoo_sync.schedule(''https://…''), which takes the job over with the key in the vault; then change the key that was pasted.',
    jsonb_build_object('jobid', jobid, 'refused', refused, 'timed_out', cut_off));
end
$$;
comment on function odoo_sync.clear_key_finding(bigint) is 'The finding for a command with a pasted key.';

-- Does pg_cron run it, and does its command succeed?
create or replace function odoo_sync.look_at_runs(j odoo_sync.jobs, command text, newest jsonb) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  is_ours boolean := command = odoo_sync.command_of(j);
  -- A command that somebody else wrote was not scheduled by us at that time.
  since timestamptz := case when is_ours then j.scheduled_at end;
  started_at timestamptz := (newest ->> 'start_time')::timestamptz;
  last_sign timestamptz;
  message text;
begin
  -- Ignores runs from before the job was scheduled.
  if started_at < since or started_at is null and is_ours and (newest ->> 'runid')::bigint <= j.scheduled_after then
    newest := null;
    started_at := null;
  end if;
  message := btrim(split_part(newest ->> 'message', E'\nCONTEXT:', 1), E' \n');
  if started_at is null and newest ->> 'status' = 'failed' then
    return array[odoo_sync.finding('cron_failed', format('pg_cron could not start it the last time: %s.', rtrim(coalesce(message, 'it does not say why'), '.')),
      case message
        when 'connection failed' then 'pg_cron opens a connection for each job, and was refused: look whether all connections are taken (max_connections), and whether cron.host lets the job''s role in.'
        when 'job startup timeout' then 'No background worker was free in time: raise max_worker_processes or lower cron.max_running_jobs, and restart the database.'
        else 'Those are pg_cron''s own words; the log of Postgres says more. If it goes on, restart the database.' end,
      jsonb_build_object('message', message))];
  end if;

  select max(c.called_at) into last_sign from odoo_sync.calls c where c.job = j.name and (since is null or c.called_at >= since);
  last_sign := greatest(last_sign, started_at, case when since is null or j.ran_at >= since then j.ran_at end);

  if newest ->> 'status' = 'failed' and coalesce(last_sign <= started_at, true) then
    if message ~ 'unrecognized configuration parameter "supabase\.' then
      return array[odoo_sync.finding('sql_error',
        format('The command fails at every run before it calls anything: it reads its key by current_setting(…), a setting that does not exist here (%s).', message),
        'Run: select * from odoo_sync.schedule(''https://…''), which takes the job over with the key in the vault.',
        jsonb_build_object('message', message))];
    elsif message ~ 'the vault (holds no secret|cannot be read)' then
      -- Said by look_at_schedule, for as long as it is so.
      return '{}';
    elsif message ~ 'duplicate key value violates unique constraint' and odoo_sync.look_at_sequences() <> '{}' then
      return odoo_sync.look_at_sequences();
    elsif message ~ 'pg_net .*worker is not up' then
      return array[odoo_sync.worker_down_finding(message)];
    elsif message ~ 'permission denied for (schema net|(function|table|sequence) (net\.)?_?http_|function wake)' then
      return array[odoo_sync.net_grants_finding(message)];
    end if;
    if message ~ 'in a read-only transaction' then
      return array[odoo_sync.finding('read_only', 'The database takes no writes: it is set to read-only, as Supabase does when its disk is nearly full.',
        'Make room, or enlarge the disk in the dashboard; where a person set it: alter database … reset default_transaction_read_only. The jobs go on by themselves.',
        jsonb_build_object('message', message))];
    end if;
    return array[odoo_sync.finding('sql_error', 'The command failed in the database:',
      coalesce(nullif(btrim(split_part(message, 'HINT:', 2)), ''), 'Run the files of sql/ again, in their order, then select * from odoo_sync.schedule().'),
      jsonb_build_object('message', message), rtrim(message, '.') || '.')];
  end if;

  if last_sign is null then
    if j.scheduled_at < now() - 2 * j.period - interval '2 minutes' then
      return array[odoo_sync.finding('never_ran', format('Scheduled at %s, but pg_cron never ran it.', odoo_sync.moment(j.scheduled_at)),
        'pg_cron is not running, or serves another database: see the setting cron.database_name, and restart the database.')];
    end if;
  elsif last_sign < now() - 2 * j.period - interval '2 minutes' and coalesce(j.paused_at, 'infinity') > now() then
    return array[odoo_sync.finding('late', format('pg_cron last ran it at %s.', odoo_sync.moment(last_sign)),
      'pg_cron is not running, or all its workers are taken (cron.max_running_jobs): restart the database.')];
  end if;
  return '{}';
end
$$;
comment on function odoo_sync.look_at_runs(odoo_sync.jobs, text, jsonb) is 'Findings about a job''s runs by pg_cron.';

-- Sequences whose next number is in use already: a restore of tables alone, or a crash, has reset them.
create or replace function odoo_sync.sequences_behind() returns table (sequence regclass, tab regclass, highest bigint)
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  s record;
begin
  for s in select d.objid::regclass as seq, d.refobjid::regclass as tab, a.attname, q.seqstart
             from pg_depend d join pg_sequence q on q.seqrelid = d.objid
             join pg_class c on c.oid = d.refobjid join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
              and c.relnamespace = 'odoo_sync'::regnamespace loop
    execute format('select max(%I) from %s', s.attname, s.tab) into highest;
    if highest > coalesce(pg_sequence_last_value(s.seq), s.seqstart - 1) then
      sequence := s.seq;
      tab := s.tab;
      return next;
    end if;
  end loop;
end
$$;
comment on function odoo_sync.sequences_behind() is 'Sequences whose next number is taken already, with the table and its highest number.';

create or replace function odoo_sync.mend_sequences() returns bigint
  language sql set search_path = pg_catalog, pg_temp as $$
    select count(setval(b.sequence, b.highest)) from odoo_sync.sequences_behind() b
  $$;
comment on function odoo_sync.mend_sequences() is 'Has sequences go on after the highest number of their tables; how many did not.';
select odoo_sync.mend_sequences();

create or replace function odoo_sync.look_at_sequences() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  tables text := (select string_agg(b.tab::text, ', ') from odoo_sync.sequences_behind() b);
begin
  if tables is null then
    return '{}';
  end if;
  return array[odoo_sync.finding('sequence_behind',
    format('The numbers of new rows of %s are taken already, so nothing can be added: the rows came back by a restore, and their sequences did not.', tables),
    'Run: select odoo_sync.mend_sequences()')];
end
$$;
comment on function odoo_sync.look_at_sequences() is 'Findings about sequences that stand before their rows.';

create or replace function odoo_sync.worker_down_finding(said text) returns jsonb
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select odoo_sync.finding('worker_down', format('pg_net''s worker is not running: %s.', rtrim(said, '.')),
      'Run: select net.worker_restart(). If that does not help, restart the database.', jsonb_build_object('message', said))
  $$;
comment on function odoo_sync.worker_down_finding(text) is 'The finding for a worker of pg_net that is down.';

-- A call that has no answer yet: is it still on its way?
create or replace function odoo_sync.look_at_unanswered(j odoo_sync.jobs, c odoo_sync.calls) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  age interval := clock_timestamp() - c.called_at;
  queued boolean := exists (select from net.http_request_queue q where q.id = c.request_id);
  worker text := case when queued then odoo_sync.net_worker_fault() end;
begin
  if worker is not null then
    return array[odoo_sync.worker_down_finding(format('request %s is waiting in its queue since %s (%s)', c.request_id, odoo_sync.moment(c.called_at), worker))];
  elsif queued and age > interval '1 minute' then
    return array[odoo_sync.finding('worker_busy', format('Request %s is waiting in pg_net''s queue since %s: its one worker waits for somebody else''s slow call, or is not running.', c.request_id, odoo_sync.moment(c.called_at)),
      'Look for webhooks with a long timeout_milliseconds; select net.worker_restart() starts the worker anew.', jsonb_build_object('request_id', c.request_id))];
  elsif not queued and age > make_interval(secs => j.timeout_ms / 1000.0) + interval '1 minute' then
    return array[odoo_sync.finding('lost', format('Request %s of %s left no trace: Postgres was restarted by a crash, which empties pg_net''s queue and answers.', c.request_id, odoo_sync.moment(c.called_at)),
      format('Nothing, if the next run is soon; else run: select odoo_sync.run_now(%L)', j.name), jsonb_build_object('request_id', c.request_id))];
  end if;
  return '{}';
end
$$;
comment on function odoo_sync.look_at_unanswered(odoo_sync.jobs, odoo_sync.calls) is 'Findings about a call without an answer; none while it may still come.';

-- What an answer says of the way to the components.
create or replace function odoo_sync.look_at_answer(j odoo_sync.jobs, c odoo_sync.calls) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  address text := (odoo_sync.setting('base_url') #>> '{}') || j.path;
  seen text := odoo_sync.moment(c.called_at);
  key text := odoo_sync.vault_key();
  accepted odoo_sync.accepted_keys;
begin
  if c.status_code between 200 and 299 then
    return '{}';
  elsif c.status_code in (401, 403) then
    select * into accepted from odoo_sync.accepted_keys k where k.hash = sha256(convert_to(key, 'UTF8'));
    if accepted.hash is null or accepted.expires_at < now() then
      return array[odoo_sync.finding('unauthorized',
        format('The call of %s was refused (%s): the key in the vault is stale; it is not among the accepted ones, so somebody changed it by hand.', seen, c.status_code),
        'Run: select odoo_sync.rotate_key()', jsonb_build_object('status_code', c.status_code, 'key_accepted', false))];
    elsif accepted.created_at > c.called_at then
      return array[odoo_sync.finding('waiting', 'The key was changed after the last call, which was refused: the next run will tell.',
        format('Wait, or run: select odoo_sync.run_now(%L)', j.name))];
    end if;
    return array[odoo_sync.finding('unauthorized',
      format('The call of %s was refused (%s), though the key in the vault is an accepted one: the components read their accepted keys from another database, or cannot read them.', seen, c.status_code),
      'Check the components'' variables db_host, db_name, db_user and db_password, and their log.', jsonb_build_object('status_code', c.status_code, 'key_accepted', true))];
  elsif c.status_code = 404 then
    return array[odoo_sync.finding('not_found', format('There is no function at %s (404).', address),
      'Run odoo_sync.schedule(''https://…'') with the right address.', jsonb_build_object('status_code', 404))];
  elsif c.status_code = 405 then
    return array[odoo_sync.finding('redirected', format('%s answered 405: most likely a redirect (http to https, a missing www) turned the POST into a GET.', address),
      'Run odoo_sync.schedule(''https://…'') with the address that needs no redirect.', jsonb_build_object('status_code', 405))];
  elsif c.status_code = 503 and c.content ~ 'cannot be checked just now: .*The component''s log says more' then
    return odoo_sync.look_at_role() || array[odoo_sync.finding('server_error',
      format('The components cannot get into Postgres, says their answer of %s (503): %s.', seen,
        substring(c.content from 'cannot be checked just now: (.*)\. The component''s log says more')),
      'Mend what it names: in the components'' variables, or in the project. Their log has what was said, word for word.',
      jsonb_build_object('status_code', c.status_code))];
  elsif c.status_code >= 500 then
    return array[odoo_sync.finding('server_error', format('The function answered %s at %s%s', c.status_code, seen, case when c.content is null then ' in words that are not the components'' own.' else ':' end),
      case when c.status_code = 503 and c.content ~ 'cannot be checked'
             then 'The components cannot ask Postgres who calls: check db_host, db_port, db_user and db_password; their log says which.'
           when c.content ~ '^\s*\{'
             then 'Those are the components'' own words: mend what they name. Their log says more.'
           else 'Look into the components'' log; a 502, 503 or 504 that is not in their words comes from the proxy before them: are they running?' end,
      jsonb_build_object('status_code', c.status_code), left(c.content, 200))];
  elsif c.status_code is not null then
    return array[odoo_sync.finding('rejected', format('The function answered %s at %s%s', c.status_code, seen, case when c.content is null then ' in words that are not the components'' own.' else ':' end),
      format('Check the column body of job %s in odoo_sync.jobs, and that base_url is the components'' address.', j.name), jsonb_build_object('status_code', c.status_code), left(c.content, 200))];
  elsif c.timed_out then
    return array[odoo_sync.finding('timeout', format('No answer within %s ms at %s.', j.timeout_ms, seen),
      case when j.waits then 'The job waits for its work to end: make the component''s batch shorter than timeout_ms in odoo_sync.jobs.'
        else 'The components answer at once (Prefer: respond-async): are they overloaded, or is a firewall or proxy in between swallowing the call?' end, jsonb_build_object('error', c.error))];
  elsif c.error ~* 'connect to server' then
    return array[odoo_sync.finding('refused', format('The connection to %s was refused.', address),
      'Start the components, and check the port, and that Postgres may reach them.', jsonb_build_object('error', c.error))];
  elsif c.error ~* 'resolve' then
    return array[odoo_sync.finding('no_such_host', format('There is no such host as in %s.', address),
      'Run odoo_sync.schedule(''https://…'') with the right address.', jsonb_build_object('error', c.error))];
  elsif c.error ~* 'ssl|tls|certificate' then
    return array[odoo_sync.finding('tls', format('TLS with %s failed: %s.', address, c.error),
      'Is it an https address, with a certificate that is valid and publicly known?', jsonb_build_object('error', c.error))];
  elsif c.error ~* 'lost in a crash' then
    return array[odoo_sync.finding('lost', format('The call of %s was lost when Postgres crashed.', seen),
      format('Nothing, if the next run is soon; else run: select odoo_sync.run_now(%L)', j.name))];
  end if;
  return array[odoo_sync.finding('no_answer', format('The call of %s got no answer: %s.', seen, coalesce(c.error, 'pg_net does not say why')),
    'Look into the components'' log, and the log of the proxy before them.', jsonb_build_object('error', c.error))];
end
$$;
comment on function odoo_sync.look_at_answer(odoo_sync.jobs, odoo_sync.calls) is 'Findings about the answer to a call.';

-- Was it answered, and how?
create or replace function odoo_sync.look_at_calls(j odoo_sync.jobs) returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  c odoo_sync.calls;
  unanswered jsonb[];
begin
  if j.path is null or odoo_sync.net_state() <> 'open' then
    return '{}';
  end if;

  for c in select * from odoo_sync.recent_calls(j.name, j.scheduled_at, 5) loop
    if c.answered_at is not null then
      exit;
    end if;
    unanswered := odoo_sync.look_at_unanswered(j, c);
    if unanswered <> '{}' then
      return unanswered;
    end if;
    -- No answer yet: the call before it shows the state.
  end loop;
  if c.id is null or c.answered_at is null then
    return array[odoo_sync.finding('waiting', 'No call has been answered yet.',
      format('Wait for its next run, or: select odoo_sync.run_now(%L)', j.name))];
  end if;

  return odoo_sync.look_at_answer(j, c);
end
$$;
comment on function odoo_sync.look_at_calls(odoo_sync.jobs) is 'Findings about the answers to a job''s calls.';

revoke execute on all routines in schema odoo_sync from public;

commit;
