-- odoo-to-supabase, 11: the alarm. Every five minutes the database itself checks whether all is well, and calls a
-- webhook when it is not; no component is needed for it.
--
--   select odoo_sync.set('alert_url', '"https://hooks.slack.com/services/…"');
--   select odoo_sync.alert_test();
--
-- A database that is down cannot raise an alarm: heartbeat_url is called while all is well, for monitoring from outside.

begin;

call odoo_sync.hold('odoo_sync.webhooks', 'odoo_sync.alarms', 'odoo_sync.alerts');

-- Not in the vault, because an alarm also reports that the vault cannot be read.
create table if not exists odoo_sync.webhooks (
  name text primary key check (name in ('alert_url', 'heartbeat_url')),
  url text not null
);
comment on table odoo_sync.webhooks is 'Where alarms and heartbeats go. Whoever knows such an address may post there, so nobody but the owner reads it.';
comment on column odoo_sync.webhooks.name is 'The setting: alert_url or heartbeat_url.';
comment on column odoo_sync.webhooks.url is 'The address.';
call odoo_sync.protect('odoo_sync.webhooks', '');
drop policy if exists admins_read on odoo_sync.webhooks;
revoke all on odoo_sync.webhooks from authenticated, service_role;

create table if not exists odoo_sync.alarms (
  subject text primary key,
  state text not null,
  problem text not null,
  remedy text not null,
  since timestamptz not null default now(),
  at_once boolean not null default false,
  rung_at timestamptz,
  rung_state text,
  over_since timestamptz
);
comment on table odoo_sync.alarms is 'What is wrong now, as odoo_sync.alarm() last saw it.';
comment on column odoo_sync.alarms.subject is 'A job, files, a comparison, or the final check.';
comment on column odoo_sync.alarms.state is 'What is wrong, in a word; for a job its state in odoo_sync.health().';
comment on column odoo_sync.alarms.problem is 'What is wrong, in words of this program only.';
comment on column odoo_sync.alarms.remedy is 'What to do about it.';
comment on column odoo_sync.alarms.since is 'When it was last known to be well, else when it was first seen.';
comment on column odoo_sync.alarms.at_once is 'Whether it is told without waiting whether it lasts.';
comment on column odoo_sync.alarms.rung_at is 'When it was last told; null: not yet.';
comment on column odoo_sync.alarms.rung_state is 'The state that was told.';
comment on column odoo_sync.alarms.over_since is 'Since when it is seen no more; it is told when that lasts.';
call odoo_sync.protect('odoo_sync.alarms', '');

create table if not exists odoo_sync.alerts (
  id bigint generated always as identity primary key,
  event text not null check (event in ('alarm', 'over', 'test', 'heartbeat')),
  message jsonb not null default '{}',
  request_id bigint not null,
  posted_at timestamptz not null default now(),
  tries integer not null default 1,
  answered_at timestamptz,
  status_code integer,
  error text
);
comment on table odoo_sync.alerts is 'What was told, and whether it arrived. Of heartbeats only the newest.';
comment on column odoo_sync.alerts.id is 'Row id.';
comment on column odoo_sync.alerts.event is 'alarm: something is wrong, or still is; over: it is well again; test; heartbeat.';
comment on column odoo_sync.alerts.message is 'What was told.';
comment on column odoo_sync.alerts.request_id is 'pg_net''s number of the request.';
comment on column odoo_sync.alerts.posted_at is 'When it was last handed to pg_net.';
comment on column odoo_sync.alerts.tries is 'How often.';
comment on column odoo_sync.alerts.answered_at is 'When the answer was recorded; null: not yet.';
comment on column odoo_sync.alerts.status_code is 'HTTP status of the answer.';
comment on column odoo_sync.alerts.error is 'What pg_net says of a request without an answer.';
call odoo_sync.protect('odoo_sync.alerts', '');
create index if not exists alerts_by_time on odoo_sync.alerts (posted_at);

insert into odoo_sync.settings (name, value) values
  ('alert_url', 'null'), ('heartbeat_url', 'null'), ('alert_after_minutes', '5'), ('alert_format', '"auto"')
on conflict (name) do nothing;

create or replace function odoo_sync.set_webhook(name text, url jsonb) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  address text := btrim(url #>> '{}');
begin
  if url = 'null' then
    delete from odoo_sync.webhooks w where w.name = set_webhook.name;
  elsif jsonb_typeof(url) <> 'string' or address !~* '^https?://[^\s/?#@]+(/\S*)?$'
    or address ~* '^http:' and not odoo_sync.is_near(substring(address from '^[^:]+://(\[[^]/]*\]|[^:/]*)')) then
    -- Without the address: it may be a secret.
    raise exception '% is an https address in double quotes, such as ''"https://hooks.example.com/…"'', or null', set_webhook.name;
  else
    insert into odoo_sync.webhooks as w (name, url) values (set_webhook.name, address)
    on conflict on constraint webhooks_pkey do update set url = excluded.url;
  end if;
end
$$;
comment on function odoo_sync.set_webhook(text, jsonb) is 'Keeps an address for alarms. For odoo_sync.set().';

-- What is wrong now, without names of customers or files.
create or replace function odoo_sync.troubles()
  returns table (subject text, state text, problem text, remedy text, ok_at timestamptz, at_once boolean)
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  begin
    return query
      select d.job, d.state, rtrim(d.problem, ':'), d.remedy,
             greatest(d.last_success, (select max(r.seen_at) from odoo_sync.runs r where r.job = j.component and r.outcome = 'success')), false
        from odoo_sync.diagnose() d join odoo_sync.jobs j on j.name = d.job
       where not d.ok and d.job <> 'odoo-sync-alarm';
  exception when others then
    return query select 'health', 'broken', format('odoo_sync.health() fails (%s), so nobody knows how things are.', sqlstate),
      'Run it to see why: select * from odoo_sync.health(). Running the files of sql/ again mends what was changed by hand.', null::timestamptz, true;
  end;
  return query
    select 'files', 'dead', format('%s files could not be moved and were given up.', p.files),
      'Run: select id, kind, error from public.odoo_attachments where state = ''dead''. When the cause is mended: select odoo_sync.retry()', null::timestamptz, true
    from odoo_sync.progress p where p.bucket = 'dead' and p.files > 0;
  -- One comparison may differ by what the next tick would copy, and files that are still to be moved always differ.
  return query
    select 'comparison of ' || v.entity, 'differs', format('Odoo and Postgres differ by two comparisons in a row: %s missing, %s too many, %s with other content.', v.missing, v.extra, v.stale),
      format('Run: select created_at, detail from public.sync_validation_log where entity = %L order by created_at desc limit 2', v.entity), null::timestamptz, true
    from (select distinct on (l.entity) l.*, lead(l.verdict) over (partition by l.entity order by l.created_at desc) as before
            from public.sync_validation_log l
           where l.created_at > now() - interval '7 days' and l.run_id is not null order by l.entity, l.created_at desc) v
    where v.verdict = 'differs' and v.before = 'differs'
      and (v.entity <> 'attachments' or not exists (select from odoo_sync.progress p where p.bucket in ('pending', 'failed') and p.files > 0));
  -- A final check that was ready and is out of date.
  return query
    select 'final check', 'stale', format('Odoo could be switched off by the final check of %s; since then %s.', odoo_sync.moment(c.ended_at), c.stale_why),
      format('Check again: select odoo_sync.final_check(). Where nobody needs it any more: delete from odoo_sync.final_checks where id = %s', c.id), c.stale_at, true
    from (select * from odoo_sync.final_checks f order by f.id desc limit 1) c
    where c.state = 'ready' and c.stale_at is not null;
end
$$;
comment on function odoo_sync.troubles() is 'What odoo_sync.alarm() would tell; when it was last known to be well; whether to tell it at once.';

-- A message in the form that its receiver expects.
create or replace function odoo_sync.alert_body(message jsonb, format text, url text) returns jsonb
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case case when format <> 'auto' then format
                     when url ~* '^https?://hooks\.slack(-gov)?\.com/' then 'slack'
                     when url ~* '^https?://([a-z]+\.)?discord(app)?\.com/api/webhooks/' then 'discord'
                     when url ~* '^https?://[^/]+\.(webhook\.office\.com|logic\.azure\.com|environment\.api\.powerplatform\.com)[:/]' then 'teams'
                     when url ~* '/hooks/[a-z0-9]{26}$' then 'mattermost'
                     else 'json' end
      when 'slack' then jsonb_build_object('text', replace(replace(replace(message ->> 'text', '&', '&amp;'), '<', '&lt;'), '>', '&gt;'))
      when 'mattermost' then jsonb_build_object('text', message ->> 'text')
      -- Discord takes 2,000 characters, and an @everyone in them would notify everybody.
      when 'discord' then jsonb_build_object('content', left(message ->> 'text', 1990), 'allowed_mentions', '{"parse": []}'::jsonb)
      when 'teams' then jsonb_build_object('type', 'message', 'attachments', jsonb_build_array(jsonb_build_object(
        'contentType', 'application/vnd.microsoft.card.adaptive',
        'content', jsonb_build_object('type', 'AdaptiveCard', '$schema', 'http://adaptivecards.io/schemas/adaptive-card.json', 'version', '1.4',
          'body', (select jsonb_agg(jsonb_build_object('type', 'TextBlock', 'text', line, 'wrap', true) order by nth)
                     from string_to_table(message ->> 'text', E'\n') with ordinality l (line, nth))))))
      else message end
  $$;
comment on function odoo_sync.alert_body(jsonb, text, text) is 'A message as Slack, Discord, Teams or Mattermost show it well; whole for anybody else.';

-- Hands a message to pg_net.
create or replace function odoo_sync.post_alert(event text, message jsonb) returns bigint
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  target text := (select w.url from odoo_sync.webhooks w where w.name = 'alert_url');
  request bigint := net.http_post(url := target, timeout_milliseconds := 10000,
    body := odoo_sync.alert_body(message, odoo_sync.setting('alert_format') #>> '{}', target));
begin
  insert into odoo_sync.alerts (event, message, request_id, posted_at) values (event, message, request, clock_timestamp());
  return request;
end
$$;
comment on function odoo_sync.post_alert(text, jsonb) is 'Posts a message to alert_url.';

create or replace function odoo_sync.alert_message(event text, lines text[], wrong jsonb default '[]', over jsonb default '[]') returns jsonb
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('program', 'odoo-to-supabase', 'event', event, 'at', now(), 'troubles', wrong, 'over', over, 'card', card.url,
      'text', concat_ws(E'\n', array_to_string(lines[1:20], E'\n'),
        case when cardinality(lines) > 20 then format('… and %s more: select * from odoo_sync.alarms', cardinality(lines) - 20) end, card.url))
    from (select (odoo_sync.setting('base_url') #>> '{}') || '/' as url) card
  $$;
comment on function odoo_sync.alert_message(text, text[], jsonb, jsonb) is 'A message whole: in words, and as data.';

-- Copies pg_net's answers to alerts, and posts again what did not arrive.
create or replace function odoo_sync.follow_alerts() returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  undelivered record;
  target text := (select w.url from odoo_sync.webhooks w where w.name = 'alert_url');
begin
  update odoo_sync.alerts a set answered_at = r.created, status_code = r.status_code,
         error = coalesce(r.error_msg, case when r.timed_out then 'no answer within 10 seconds' end)
  from net._http_response r
  where a.answered_at is null and r.id = a.request_id and r.created >= a.posted_at - interval '1 second';
  -- A crash of Postgres empties pg_net's tables.
  update odoo_sync.alerts a set answered_at = now(), error = 'no answer came'
  where a.answered_at is null and a.posted_at < now() - interval '2 minutes'
    and not exists (select from net.http_request_queue q where q.id = a.request_id);

  for undelivered in
    select a.id, a.message from odoo_sync.alerts a
    where a.event not in ('heartbeat', 'test') and a.answered_at is not null and coalesce(a.status_code, 0) not between 200 and 299
      and a.posted_at > now() - interval '1 day' and target is not null order by a.id
  loop
    update odoo_sync.alerts a set answered_at = null, status_code = null, error = null, tries = a.tries + 1, posted_at = clock_timestamp(),
           request_id = net.http_post(url := target, timeout_milliseconds := 10000,
             body := odoo_sync.alert_body(undelivered.message, odoo_sync.setting('alert_format') #>> '{}', target))
    where a.id = undelivered.id;
  end loop;
end
$$;
comment on function odoo_sync.follow_alerts() is 'Keeps what became of alerts, and posts again for a day what did not arrive.';

create or replace function odoo_sync.alarm() returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- Checks are five minutes apart, give or take a second.
  patience interval := (odoo_sync.setting('alert_after_minutes') #>> '{}')::numeric * interval '1 minute' - interval '10 seconds';
  target text := (select w.url from odoo_sync.webhooks w where w.name = 'alert_url');
  heartbeat text := (select w.url from odoo_sync.webhooks w where w.name = 'heartbeat_url');
  told record;
  over record;
begin
  if exists (select from odoo_sync.jobs j where j.name = 'odoo-sync-alarm' and j.paused_at is not null) then
    return 'paused';
  end if;
  -- Two checks at once would send everything twice.
  perform pg_advisory_xact_lock(hashtext('odoo_sync.alarm'));
  if target is not null or heartbeat is not null then
    perform odoo_sync.follow_alerts();
  end if;

  with seen as (select * from odoo_sync.troubles()),
  gone as (
    update odoo_sync.alarms a set over_since = coalesce(a.over_since, now())
    where not exists (select from seen s where s.subject = a.subject) returning 1
  )
  insert into odoo_sync.alarms as a (subject, state, problem, remedy, since, at_once)
  select s.subject, s.state, s.problem, s.remedy, least(now(), s.ok_at), s.at_once from seen s
  on conflict on constraint alarms_pkey do update set state = excluded.state, problem = excluded.problem, remedy = excluded.remedy, over_since = null;

  with due as (
    update odoo_sync.alarms a set rung_at = now(), rung_state = a.state
    where target is not null and a.over_since is null and (a.at_once or now() - a.since >= patience)
      and (a.rung_at is null or a.rung_at < now() - interval '1 day' + interval '10 seconds'
           or a.rung_state <> a.state and a.rung_at < now() - interval '1 hour')
    returning a.subject, a.state, a.problem, a.remedy, a.since
  )
  select count(*) as number, array_agg(format('%s: %s, since %s. %s %s', d.subject, d.state, odoo_sync.moment(d.since), d.problem, d.remedy) order by d.subject) as lines,
         jsonb_agg(to_jsonb(d) order by d.subject) as data
    into told from due d;
  with ended as (
    delete from odoo_sync.alarms a where a.over_since <= now() - patience returning a.*
  )
  select count(*) as number, array_agg(format('%s: well again; it was %s since %s.', e.subject, e.state, odoo_sync.moment(e.since)) order by e.subject) as lines,
         jsonb_agg(jsonb_build_object('subject', e.subject, 'state', e.state, 'since', e.since) order by e.subject) as data
    into over from ended e where e.rung_at is not null;

  if target is not null and told.number > 0 then
    perform odoo_sync.post_alert('alarm', odoo_sync.alert_message('alarm', told.lines || over.lines, told.data, coalesce(over.data, '[]')));
  elsif target is not null and over.number > 0 then
    perform odoo_sync.post_alert('over', odoo_sync.alert_message('over', over.lines, '[]', over.data));
  end if;
  if heartbeat is not null and not exists (select from odoo_sync.alarms a where a.over_since is null) then
    delete from odoo_sync.alerts a where a.event = 'heartbeat' and a.answered_at is not null;
    insert into odoo_sync.alerts (event, request_id, posted_at)
    values ('heartbeat', net.http_get(url := heartbeat, timeout_milliseconds := 10000), clock_timestamp());
  end if;
  update odoo_sync.jobs j set ran_at = now() where j.name = 'odoo-sync-alarm';
  return concat_ws(', ', format('%s wrong', (select count(*) from odoo_sync.alarms a where a.over_since is null)), told.number || ' told', over.number || ' over');
end
$$;
comment on function odoo_sync.alarm() is 'What cron runs every five minutes: looks at odoo_sync.troubles(), tells alert_url what is new, what lasts another day and what is over, and calls heartbeat_url while all is well.';

create or replace function odoo_sync.alert_test() returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  if not exists (select from odoo_sync.webhooks w where w.name = 'alert_url') then
    raise exception 'alert_url is not set'
      using hint = 'Run, in the SQL editor: select odoo_sync.set(''alert_url'', ''"https://…"'')';
  end if;
  return format('Posted as request %s. Whether it arrived: select * from odoo_sync.alerts order by id desc limit 1',
    odoo_sync.post_alert('test', odoo_sync.alert_message('test', array['This is a test of odoo-to-supabase''s alarm: nothing is wrong.'])));
end
$$;
comment on function odoo_sync.alert_test() is 'Sends a message to alert_url, to see whether it arrives.';

-- Schedules the alarm in an installation whose jobs are scheduled already.
do $$
declare
  j odoo_sync.jobs;
begin
  -- In a database that was set to read-only, only a transaction that asks for it can write.
  insert into odoo_sync.jobs (name, component, statement, schedule, period) values
    ('odoo-sync-alarm', 'maintenance', 'set transaction read write; select odoo_sync.alarm()', '*/5 * * * *', '5 minutes')
  on conflict (name) do nothing returning * into j;
  if j.name is null or not exists (select from odoo_sync.jobs k where k.scheduled_at is not null) then
    return;
  end if;
  perform cron.schedule(j.name, j.schedule, odoo_sync.command_of(j));
  update odoo_sync.jobs k set scheduled_at = now(), scheduled_after = (select max(d.runid) from cron.job_run_details d) where k.name = j.name;
end
$$;

revoke execute on all routines in schema odoo_sync from public;
grant execute on function odoo_sync.alert_test() to authenticated, service_role;

commit;
