-- odoo-to-supabase, 5: the jobs, by name, and how each of them calls.
--
-- Set up, or take over from whatever was there, in one statement:
--   select * from odoo_sync.schedule('https://sync.example.com');
--
-- Coming from jobs with a pasted Bearer, or with current_setting('supabase.service_role_key'): the
-- same statement. It finds them by name or by the function they call, and replaces them in one
-- transaction, so that no tick is lost in between; it makes a key if the vault holds none; it says
-- what it replaced and what was wrong with it, and keeps each old command in odoo_sync.replaced_jobs.
-- Once select * from odoo_sync.health() says ok:
--   delete from odoo_sync.replaced_jobs;   -- they may hold keys
-- and change the key that had been pasted.

begin;

call odoo_sync.hold('odoo_sync.jobs', 'odoo_sync.calls', 'odoo_sync.replaced_jobs');

create table if not exists odoo_sync.jobs (
  name text primary key,
  component text not null,
  path text,
  body jsonb not null default '{}',
  schedule text not null,
  period interval not null,
  timeout_ms integer not null default 10000 check (timeout_ms between 1000 and 60000),
  paused_at timestamptz,
  paused_by text,
  scheduled_at timestamptz
);
alter table odoo_sync.jobs add column if not exists waits boolean not null default false;
alter table odoo_sync.jobs add column if not exists ran_at timestamptz;
alter table odoo_sync.jobs add column if not exists scheduled_after bigint;
alter table odoo_sync.jobs add column if not exists statement text;
comment on table odoo_sync.jobs is 'The jobs that odoo_sync.schedule() gives to pg_cron. Change a row, then run odoo_sync.schedule() again.';
comment on column odoo_sync.jobs.name is 'The job''s name, in cron.job too.';
comment on column odoo_sync.jobs.component is 'What it runs: archive-batch, crm-sync, chatter-sync, or maintenance in the database itself.';
comment on column odoo_sync.jobs.path is 'The path it calls below base_url; null: a statement in the database.';
comment on column odoo_sync.jobs.body is 'What it sends.';
comment on column odoo_sync.jobs.schedule is 'When it runs, in cron''s five fields, UTC. pg_cron below 1.5 knows no seconds.';
comment on column odoo_sync.jobs.period is 'The longest time between two runs by that schedule: later than twice that is late.';
comment on column odoo_sync.jobs.timeout_ms is 'How long pg_net waits for the answer. The answer comes at once (Prefer: respond-async); pg_net''s one worker serves every other webhook too, so this is short.';
comment on column odoo_sync.jobs.waits is 'Whether the call waits for the work, for platforms where none may go on after the answer. pg_net''s one worker waits too; timeout_ms has to be longer than a batch.';
comment on column odoo_sync.jobs.paused_at is 'Since when a person has it paused; null: not paused.';
comment on column odoo_sync.jobs.paused_by is 'Who paused it.';
comment on column odoo_sync.jobs.scheduled_at is 'When odoo_sync.schedule() last gave it to pg_cron; null: not scheduled. What came before says nothing about the present state.';
comment on column odoo_sync.jobs.ran_at is 'When a job in the database itself last ran to its end; null for those that call: they have odoo_sync.calls.';
comment on column odoo_sync.jobs.scheduled_after is 'The newest run that pg_cron knew then, by runid: runs that it could not start carry no time.';
comment on column odoo_sync.jobs.statement is 'What a job in the database itself runs; null for those that call a component.';
call odoo_sync.protect('odoo_sync.jobs', 'select');

insert into odoo_sync.jobs (name, component, path, body, schedule, period) values
  ('archive-odoo-files-batch', 'archive-batch', '/functions/v1/archive-odoo-files', '{}', '* * * * *', '1 minute'),
  ('odoo-crm-sync-incremental', 'crm-sync', '/functions/v1/odoo-crm-sync', '{"mode": "incremental"}', '*/15 * * * *', '15 minutes'),
  ('odoo-chatter-sync-hourly', 'chatter-sync', '/functions/v1/odoo-chatter-sync', '{"mode": "missing"}', '7 * * * *', '1 hour'),
  ('odoo-crm-sync-nightly', 'crm-sync', '/functions/v1/odoo-crm-sync', '{"mode": "full", "validate": true}', '22 2 * * *', '1 day'),
  ('odoo-sync-purge', 'maintenance', null, '{}', '41 3 * * *', '1 day')
on conflict (name) do nothing;
update odoo_sync.jobs j set statement = 'select odoo_sync.purge()' where j.name = 'odoo-sync-purge' and j.statement is null;

create table if not exists odoo_sync.calls (
  id bigint generated always as identity primary key,
  job text not null,
  request_id bigint not null,
  called_at timestamptz not null default now(),
  answered_at timestamptz,
  status_code integer,
  timed_out boolean,
  error text,
  content text
);
create index if not exists calls_by_job on odoo_sync.calls (job, id desc);
create index if not exists calls_by_time on odoo_sync.calls (called_at);
create index if not exists calls_open on odoo_sync.calls (request_id) where answered_at is null;
comment on table odoo_sync.calls is 'Each job''s requests to pg_net, and the answer that belongs to each. Kept, since pg_net forgets its own after six hours or a crash.';
comment on column odoo_sync.calls.id is 'Row id.';
comment on column odoo_sync.calls.job is 'The job that called.';
comment on column odoo_sync.calls.request_id is 'pg_net''s number of the request. Begins anew after a crash of Postgres: its sequence is unlogged.';
comment on column odoo_sync.calls.called_at is 'When it was handed to pg_net.';
comment on column odoo_sync.calls.answered_at is 'When pg_net recorded the answer; null: not yet, or not yet copied.';
comment on column odoo_sync.calls.status_code is 'HTTP status of the answer.';
comment on column odoo_sync.calls.timed_out is 'Whether pg_net gave up waiting.';
comment on column odoo_sync.calls.error is 'What pg_net says of a request without an answer.';
comment on column odoo_sync.calls.content is 'The first 500 characters of the answer, if it is the components'' own: what another server says is not kept.';
call odoo_sync.protect('odoo_sync.calls', 'select');

create table if not exists odoo_sync.replaced_jobs (
  id bigint generated always as identity primary key,
  replaced_at timestamptz not null default now(),
  jobid bigint not null,
  jobname text,
  schedule text not null,
  command text not null,
  username text not null,
  active boolean not null,
  what text not null
);
comment on table odoo_sync.replaced_jobs is 'Jobs as they were before odoo_sync.schedule() took them over. May hold keys in clear text: nobody but the owner reads it, and a person deletes the rows once they are of no more use.';
comment on column odoo_sync.replaced_jobs.id is 'Row id.';
comment on column odoo_sync.replaced_jobs.replaced_at is 'When it was replaced.';
comment on column odoo_sync.replaced_jobs.jobid is 'Its number in cron.job.';
comment on column odoo_sync.replaced_jobs.jobname is 'Its name, if it had one.';
comment on column odoo_sync.replaced_jobs.schedule is 'When it ran.';
comment on column odoo_sync.replaced_jobs.command is 'What it ran, word for word.';
comment on column odoo_sync.replaced_jobs.username is 'As whom it ran.';
comment on column odoo_sync.replaced_jobs.active is 'Whether it was active.';
comment on column odoo_sync.replaced_jobs.what is 'What was wrong with it.';
alter table odoo_sync.replaced_jobs enable row level security;
revoke all on odoo_sync.replaced_jobs from public, anon, authenticated, service_role, odoo_sync;

-- The command for pg_cron. It holds no key, so nothing in it can go stale.
create or replace function odoo_sync.command_of(job odoo_sync.jobs) returns text
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when (job).path is null then (job).statement else format('select odoo_sync.call(%L)', (job).name) end
  $$;
comment on function odoo_sync.command_of(odoo_sync.jobs) is 'The cron command of a job.';

create or replace function odoo_sync.holds_clear_key(command text) returns boolean
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select command ~ 'eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}'          -- a JWT, such as the service_role key
        or command ~ 'sb_(secret|publishable)_[A-Za-z0-9_-]{8,}'        -- a newer Supabase key
        or command ~ 'ots_[0-9a-f]{32}'                                 -- one of rotate_key()
        or command ~* 'bearer\s+[A-Za-z0-9._~+/=-]{16,}'                -- anything else pasted
  $$;
comment on function odoo_sync.holds_clear_key(text) is 'Whether a command holds what looks like a key in clear text.';

create or replace function odoo_sync.faults_of(command text) returns text
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(nullif(concat_ws('; ',
      case when command ~* 'current_setting\s*\(\s*''supabase\.service_role_key''' then
        'reads its key by current_setting(''supabase.service_role_key''), which does not exist, so it fails at every run before it calls' end,
      case when odoo_sync.holds_clear_key(command) then
        'holds a key in clear text, which goes stale when the key is changed' end,
      case when command ~* 'net\.http_post' and command !~* 'timeout_milliseconds' then
        'names no timeout, so pg_net cuts it off after 5 s' end), ''),
      'calls in a way whose answer cannot be followed')
  $$;
comment on function odoo_sync.faults_of(text) is 'What is wrong with a job''s command that odoo_sync.schedule() did not make.';

create or replace function odoo_sync.net_state() returns text
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
      when to_regnamespace('net') is null then 'missing'
      -- Without this right even the look for a table is an error.
      when not has_schema_privilege('net', 'usage') then 'closed'
      when to_regclass('net.http_request_queue') is null or to_regclass('net._http_response') is null then 'missing'
      when has_table_privilege('net.http_request_queue', 'select') and has_table_privilege('net._http_response', 'select') then 'open'
      else 'closed' end
  $$;
comment on function odoo_sync.net_state() is 'Whether pg_net is open, missing, or closed to whoever runs the jobs, as after an upgrade that broke its grants.';

-- Answers of any other server at base_url are not stored.
create or replace function odoo_sync.own_answer(content text) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  answer jsonb;
begin
  if content is null or length(content) > 1000000 or content !~ '^\s*\{' then
    return null;
  end if;
  answer := content::jsonb;
  -- The components' own answers: an error in words and nothing else, or the state of a run.
  if jsonb_typeof(answer -> 'error') = 'string' and answer - array['error', 'kind', 'blame'] = '{}'
     or jsonb_typeof(answer -> 'status') = 'string' and answer ?| array['run_id', 'elapsed_s', 'errors'] then
    return left(content, 500);
  end if;
  return null;
exception when others then
  return null; -- It is no JSON.
end
$$;
comment on function odoo_sync.own_answer(text) is 'The beginning of an answer, if it is one of the components''; null of anybody else''s.';
-- Older versions stored every answer.
update odoo_sync.calls c set content = null where c.content is not null and odoo_sync.own_answer(c.content) is null;

-- Copies answers from pg_net to the calls they belong to. The time is compared as well: numbers begin
-- anew after a crash.
create or replace function odoo_sync.collect_answers() returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if odoo_sync.net_state() <> 'open' then
    return;
  end if;
  update odoo_sync.calls c
  set answered_at = r.created, status_code = r.status_code, timed_out = r.timed_out, error = r.error_msg, content = odoo_sync.own_answer(r.content)
  from net._http_response r
  where c.answered_at is null and r.id = c.request_id and r.created >= c.called_at - interval '1 second'
    and r.created >= (select min(o.called_at) from odoo_sync.calls o where o.answered_at is null) - interval '1 second';
end
$$;
comment on function odoo_sync.collect_answers() is 'Copies answers from pg_net into odoo_sync.calls.';

create or replace function odoo_sync.call(job text) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  j odoo_sync.jobs;
  base_url text := odoo_sync.setting('base_url') #>> '{}';
  key text;
  asked_at timestamptz;
  request bigint;
begin
  select * into j from odoo_sync.jobs where name = call.job;
  if j.path is null then
    raise exception 'odoo_sync.jobs has no job % that calls a component', call.job
      using hint = 'select name from odoo_sync.jobs where path is not null lists them.';
  end if;
  if j.paused_at is not null then
    return null;
  end if;
  if base_url is null then
    raise exception 'it is not known where the components are'
      using hint = 'Run: select * from odoo_sync.schedule(''https://…''), with the address of the components.';
  end if;
  if odoo_sync.net_state() = 'missing' then
    raise exception 'the extension pg_net is missing'
      using hint = 'Switch it on in the dashboard under Database, Extensions.';
  end if;
  -- pg_net silently drops a header whose value is null, and the call would end as a 401.
  key := odoo_sync.vault_key();
  if key is null then
    raise exception '%, so nothing was called', coalesce('the vault cannot be read: ' || odoo_sync.vault_fault(), 'the vault holds no secret odoo_sync_key')
      using hint = 'Run: select odoo_sync.rotate_key()';
  end if;

  perform odoo_sync.collect_answers();
  asked_at := clock_timestamp();
  request := net.http_post(
    url := base_url || j.path,
    body := j.body,
    headers := jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || key)
      -- The answer is a 202 at once: pg_net has one worker, and a slow answer would hold up everybody.
      || case when j.waits then '{}' else jsonb_build_object('Prefer', 'respond-async') end,
    timeout_milliseconds := j.timeout_ms);
  -- Numbers that are not above earlier ones mean that Postgres crashed, and the answers that were open then are lost.
  -- Jobs of the same minute call at the same time, so a call with a higher number may be as new as this one.
  update odoo_sync.calls c set answered_at = now(), error = 'lost in a crash of Postgres'
  where c.answered_at is null and c.request_id >= request and c.called_at < asked_at;
  insert into odoo_sync.calls (job, request_id, called_at) values (j.name, request, clock_timestamp());
  if to_regprocedure('odoo_sync.call_for_check()') is not null then
    perform odoo_sync.call_for_check();
  end if;
  return request;
end
$$;
comment on function odoo_sync.call(text) is 'What cron runs: calls the job''s component with the key that is in the vault now. Raises, with what to do, when something is missing.';

-- The jobs meant by a name: one job, or all of a component.
create or replace function odoo_sync.jobs_named(job text) returns setof odoo_sync.jobs
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return query select * from odoo_sync.jobs j where j.name = jobs_named.job or j.component = jobs_named.job order by j.name;
  if not found then
    raise exception 'there is no job %', jobs_named.job
      using hint = 'select name, component from odoo_sync.jobs lists them.';
  end if;
end
$$;
comment on function odoo_sync.jobs_named(text) is 'The job of that name, or all jobs of that component.';

create or replace function odoo_sync.is_near(host text) returns boolean
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  octet constant text := '(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])';
  address inet;
begin
  -- RFC 6761, 6.3: it never leaves the machine. Any other name may lead anywhere.
  if lower(host) = 'localhost' then
    return true;
  end if;
  if host ~ format('^%s\.%s\.%s\.%s$', octet, octet, octet, octet) then
    address := host::inet;
  elsif host ~ '^\[[0-9A-Fa-f:.]+\]$' then
    address := btrim(host, '[]')::inet;
    if address <<= '::ffff:0:0/96' then
      address := '0.0.0.0'::inet + (address - '::ffff:0:0'::inet);
    end if;
  else
    return false;
  end if;
  return address <<= any (case family(address)
    when 4 then array['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16']::inet[]
    else array['::1/128', 'fc00::/7', 'fe80::/10']::inet[] end);
exception when invalid_text_representation then
  return false;
end
$$;
comment on function odoo_sync.is_near(text) is 'Whether a host is this machine''s or a private network''s, by what is written: only there may a key go over plain http. The components have the same rule.';

create or replace function odoo_sync.schedule(base_url text default null, only_jobs text[] default null)
  returns table (job text, action text, detail text)
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  address text := coalesce(schedule.base_url, odoo_sync.setting('base_url') #>> '{}');
  j odoo_sync.jobs;
  old record;
  command text;
  replaced text;
begin
  perform odoo_sync.require_owner();
  if to_regclass('cron.job') is null then
    raise exception 'the extension pg_cron is missing'
      using hint = 'Switch it on in the dashboard under Database, Extensions.';
  end if;
  if exists (select from unnest(only_jobs) o (name) where not exists (select from odoo_sync.jobs k where k.name = o.name)) then
    raise exception 'there is no such job among %', only_jobs
      using hint = 'select name from odoo_sync.jobs lists them.';
  end if;

  -- With or without the functions' path: people paste both.
  address := regexp_replace(regexp_replace(btrim(address), '/+$', ''), '/functions/v1(/[a-z-]+)?$', '');
  if address is null or address !~* '^https?://[a-z0-9.:\[\]_-]+(/[^\s?#@]*)?$' then
    raise exception 'base_url is the address of the components, such as https://sync.example.com, not %', coalesce(quote_literal(address), 'null');
  end if;
  if address ~* '^http://' and not odoo_sync.is_near(substring(address from '^[^:]+://(\[[^]/]*\]|[^:/]*)')) then
    if odoo_sync.setting('allow_http') is distinct from 'true' then
      raise exception 'base_url is plain http, so the key could be read on the way: %', address
        using hint = 'Give an https address, or run select odoo_sync.set(''allow_http'', ''true'') where that network is yours alone.';
    end if;
    job := null; action := 'warning'; detail := 'base_url is http: the key travels in clear text over the network.';
    return next;
  end if;
  update odoo_sync.settings s set value = to_jsonb(address), updated_at = now() where s.name = 'base_url';

  job := null;
  if not coalesce(odoo_sync.is_accepted(odoo_sync.vault_key()), false) then
    detail := odoo_sync.rotate_key();
    action := 'made a key';
    return next;
  end if;

  for j in select * from odoo_sync.jobs k where only_jobs is null or k.name = any (only_jobs) order by k.name loop
    command := odoo_sync.command_of(j);
    job := j.name;
    replaced := null;
    -- By name, or another job that calls the same function: two would do the work twice.
    for old in
      select c.* from cron.job c
      where c.jobname = j.name
         or (j.path is not null and c.command ~ (j.path || '\M') and c.jobname is distinct from j.name
             and not exists (select from odoo_sync.jobs k where k.name = c.jobname))
      order by c.jobid
    loop
      if old.command <> command then
        insert into odoo_sync.replaced_jobs (jobid, jobname, schedule, command, username, active, what)
        values (old.jobid, old.jobname, old.schedule, old.command, old.username, old.active, odoo_sync.faults_of(old.command));
        replaced := concat_ws('; ', replaced,
          format('job %s %s, which %s', old.jobid, coalesce('(' || old.jobname || ')', '(without a name)'), odoo_sync.faults_of(old.command)));
      end if;
      -- cron.schedule leaves an inactive job inactive, and sees only the caller's own jobs.
      if old.jobname is distinct from j.name or old.username <> current_user or not old.active then
        begin
          perform cron.unschedule(old.jobid);
        exception when others then
          action := 'left alone';
          detail := format('job %s belongs to role %s and would do the work twice: run, as that role, select cron.unschedule(%s); pg_cron says: %s',
            old.jobid, old.username, old.jobid, sqlerrm);
          return next;
        end;
      end if;
    end loop;
    perform cron.schedule(j.name, j.schedule, command);
    update odoo_sync.jobs k set scheduled_at = now(), scheduled_after = (select max(d.runid) from cron.job_run_details d) where k.name = j.name;
    action := case when replaced is null then 'scheduled' else 'replaced' end;
    detail := concat_ws('; ', format('%s (%s)', j.schedule, command), 'instead of ' || replaced,
      case when j.paused_at is not null then 'paused: odoo_sync.resume(' || quote_literal(j.name) || ')' end);
    return next;
  end loop;
end
$$;
comment on function odoo_sync.schedule(text, text[]) is 'Creates or replaces the jobs, by name, and says what it replaced; the old commands are kept in odoo_sync.replaced_jobs. Without base_url: the one given before.';

create or replace function odoo_sync.unschedule(job text default null) returns setof text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  j odoo_sync.jobs;
  entry bigint;
begin
  perform odoo_sync.require_owner();
  for j in select * from odoo_sync.jobs k where unschedule.job is null or unschedule.job in (k.name, k.component) order by k.name loop
    for entry in select c.jobid from cron.job c where c.jobname = j.name and c.username = current_user loop
      perform cron.unschedule(entry);
      return next j.name;
    end loop;
    update odoo_sync.jobs k set scheduled_at = null where k.name = j.name;
  end loop;
  if not found then
    perform odoo_sync.jobs_named(unschedule.job);
  end if;
end
$$;
comment on function odoo_sync.unschedule(text) is 'Takes a job, all jobs of a component, or all jobs from pg_cron; returns which.';

create or replace function odoo_sync.pause(job text) returns setof text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  return query
    update odoo_sync.jobs j set paused_at = coalesce(j.paused_at, now()), paused_by = coalesce(j.paused_by, auth.jwt() ->> 'email', auth.uid()::text, odoo_sync.caller())
    from odoo_sync.jobs_named(pause.job) n where n.name = j.name returning j.name;
end
$$;
comment on function odoo_sync.pause(text) is 'Pauses a job, or all jobs of a component: cron goes on, but calls nothing; a component whose jobs are all paused does not work either, whoever calls it.';

create or replace function odoo_sync.resume(job text) returns setof text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  return query
    update odoo_sync.jobs j set paused_at = null, paused_by = null
    from odoo_sync.jobs_named(resume.job) n where n.name = j.name returning j.name;
end
$$;
comment on function odoo_sync.resume(text) is 'Ends a pause.';

create or replace function odoo_sync.is_paused(job text) returns boolean
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(bool_and(j.paused_at is not null), false) from odoo_sync.jobs j where is_paused.job in (j.name, j.component)
  $$;
comment on function odoo_sync.is_paused(text) is 'Whether a job is paused, or all jobs of a component.';

create or replace function odoo_sync.run_now(job text) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  j odoo_sync.jobs;
  started text[] := '{}';
begin
  perform odoo_sync.require_admin();
  for j in select * from odoo_sync.jobs_named(run_now.job) loop
    if j.paused_at is not null then
      raise exception '% is paused', j.name
        using hint = format('Run: select odoo_sync.resume(%L)', j.name);
    end if;
    if j.name = 'odoo-sync-purge' then
      started := started || format('%s: %s', j.name, odoo_sync.purge());
    elsif j.name = 'odoo-sync-alarm' then
      started := started || format('%s: %s', j.name, odoo_sync.alarm());
    else
      started := started || format('%s as request %s', j.name, odoo_sync.call(j.name));
    end if;
  end loop;
  return array_to_string(started, ', ');
end
$$;
comment on function odoo_sync.run_now(text) is 'Runs a job now, as cron would.';

revoke execute on all routines in schema odoo_sync from public;
revoke execute on function odoo_sync.schedule(text, text[]), odoo_sync.unschedule(text) from authenticated, service_role; -- which had them once
grant execute on function odoo_sync.pause(text), odoo_sync.resume(text), odoo_sync.is_paused(text), odoo_sync.run_now(text)
  to authenticated, service_role;
grant execute on function odoo_sync.is_paused(text) to odoo_sync;

commit;
