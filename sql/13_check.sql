-- odoo-to-supabase, 13: is all set up right?
--
--   select * from odoo_sync.check();
--
-- shows what the components found when POST /check last asked them, and what the database finds itself, now.
-- Nothing is changed but the one row of odoo_sync.checks, and a call of the components by pg_net that does nothing.

begin;

-- Has pg_net call the components as the jobs do, without any effect: the jobs' key may not ask for a check, so they
-- answer 403, which shows that they are there and know the key.
create or replace function odoo_sync.knock() returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  base_url text := odoo_sync.setting('base_url') #>> '{}';
  key text := odoo_sync.vault_key();
  path text := '/check';
  request bigint;
  why text;
begin
  perform odoo_sync.require_admin();
  -- A key with more rights, from before there were scopes, would start a check, and that another call.
  if exists (select from odoo_sync.accepted_keys k where k.hash = sha256(convert_to(key, 'UTF8')) and k.scope <> 'jobs') then
    path := '/healthz';
  end if;
  if base_url is not null and key is not null and odoo_sync.net_state() = 'open' then
    begin
      request := net.http_post(url := base_url || path, body := '{}', timeout_milliseconds := 5000,
        headers := jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || key));
    exception when others then
      why := sqlerrm;
    end;
  end if;
  insert into odoo_sync.checks as c (knocked_at, knocked_by, request_id, failed) values (clock_timestamp(), path, request, why)
  on conflict (only_one) do update
    set knocked_at = excluded.knocked_at, knocked_by = excluded.knocked_by, request_id = excluded.request_id, failed = excluded.failed;
end
$$;
comment on function odoo_sync.knock() is 'Has pg_net call the components as the jobs do; odoo_sync.look_at_knock() tells what came of it.';

-- Once a day, because only the components see what will break later, such as an API key that expires.
create or replace function odoo_sync.ask_for_check() returns bigint
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  base_url text := odoo_sync.setting('base_url') #>> '{}';
  key text := odoo_sync.vault_key();
begin
  if base_url is null or key is null or odoo_sync.net_state() <> 'open' then
    return null;
  end if;
  return net.http_post(url := base_url || '/check', body := '{"daily": true}', timeout_milliseconds := 10000,
    headers := jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || key, 'Prefer', 'respond-async'));
exception when others then
  return null; -- No call is possible, and health() reports that for each job.
end
$$;
comment on function odoo_sync.ask_for_check() is 'Has the components look whether all is right, unless they have within most of a day. For odoo_sync.purge().';

create or replace function odoo_sync.look_at_knock() returns jsonb[]
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  k odoo_sync.checks;
  j odoo_sync.jobs;
  c odoo_sync.calls;
  findings jsonb[];
begin
  select * into k from odoo_sync.checks;
  if k.failed is not null then
    return array[case when k.failed ~ 'worker is not up' then odoo_sync.worker_down_finding(k.failed) else odoo_sync.net_grants_finding(k.failed) end];
  elsif k.request_id is null or odoo_sync.net_state() <> 'open' then
    return array[odoo_sync.finding('waiting', 'pg_net has not called the components yet.', 'Look again.')];
  end if;
  j.name := 'check';
  j.path := k.knocked_by;
  j.timeout_ms := 5000;
  select 0, j.name, k.request_id, k.knocked_at, r.created, r.status_code, r.timed_out, r.error_msg, odoo_sync.own_answer(r.content) into c
    from (select) one left join lateral (
      select * from net._http_response n where n.id = k.request_id and n.created >= k.knocked_at - interval '1 second' order by n.created limit 1) r on true;
  if c.answered_at is null then
    findings := odoo_sync.look_at_unanswered(j, c);
    return case when findings = '{}' then array[odoo_sync.finding('waiting', 'pg_net has not brought an answer yet.', 'Look again in some seconds.')] else findings end;
  elsif c.status_code = 403 and c.content ~ 'this key is for other things' or c.status_code = 200 and k.knocked_by = '/healthz' then
    return '{}';
  elsif c.status_code <> 401 and c.status_code < 500 and c.status_code not in (404, 405) then
    return array[odoo_sync.finding('rejected', format('Something else than the components answers at %s%s: it said %s.', odoo_sync.setting('base_url') #>> '{}', k.knocked_by, c.status_code),
      'Run odoo_sync.schedule(''https://…'') with the right address, and look whether a proxy before the components lets POST through.')];
  end if;
  return odoo_sync.look_at_answer(j, c);
end
$$;
comment on function odoo_sync.look_at_knock() is 'Findings about the call that odoo_sync.knock() asked for.';

-- Is there a user who may see the card? Null: unknown.
create or replace function odoo_sync.has_admins() returns boolean
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  found_one boolean;
begin
  if to_regclass('public.user_roles') is not null then
    execute 'select exists (select from public.user_roles r where to_jsonb(r) ->> ''role'' = ''admin'')' into found_one;
  end if;
  -- The application may have a has_role() of its own, that looks elsewhere.
  if found_one is not true and to_regclass('auth.users') is not null and has_table_privilege('auth.users', 'select') then
    select exists (select from (select u.id from auth.users u limit 1000) u where public.has_role(u.id, 'admin')) into found_one;
  end if;
  return found_one;
exception when others then
  return null;
end
$$;
comment on function odoo_sync.has_admins() is 'Whether any user is an admin; null: unknown.';

-- A line of the list, from findings: the first one, and the number of further ones.
create or replace function odoo_sync.check_line(name text, findings jsonb[], fine text)
  returns table (line text, state text, found text, remedy text)
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select check_line.name,
           case when w.worst is null then 'ok' when w.worst ->> 'state' = 'waiting' then 'not_tried'
                when w.worst ->> 'state' in ('paused', 'notice') then 'warning' else 'failed' end,
           case when w.worst is null then fine else concat_ws(' ', w.worst ->> 'problem', w.worst ->> 'said',
                case when cardinality(findings) > 1 then format('(And %s more: select * from odoo_sync.health())', cardinality(findings) - 1) end) end,
           w.worst ->> 'remedy'
      from (select coalesce((select f from unnest(findings) with ordinality u (f, n)
                              where f ->> 'state' not in ('paused', 'notice', 'waiting') order by n limit 1), findings[1]) as worst) w
  $$;
comment on function odoo_sync.check_line(text, jsonb[], text) is 'A line of odoo_sync.check() that says what findings say, or that all is fine.';

create or replace function odoo_sync.check_lines() returns table (name text, state text, found text, remedy text)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  cron jsonb[] := odoo_sync.look_at_cron();
  means jsonb[] := odoo_sync.look_at_means();
  jobs_findings jsonb[] := '{}';
  key_findings jsonb[];
  runs jsonb;
  j odoo_sync.jobs;
  accepted odoo_sync.accepted_keys;
begin
  perform odoo_sync.require_admin();
  return query select * from odoo_sync.check_line('pg_cron', cron, 'pg_cron is there.');
  return query select * from odoo_sync.check_line('pg_net',
    array(select f from unnest(means) f where f ->> 'state' in ('no_pg_net', 'net_grants')), 'pg_net is there, and open.');

  key_findings := array(select f from unnest(means) f where f ->> 'state' in ('vault_missing', 'vault_unreadable'));
  if key_findings = '{}' then
    select * into accepted from odoo_sync.accepted_keys k
     where k.hash = sha256(convert_to(odoo_sync.vault_key(), 'UTF8')) and (k.expires_at is null or k.expires_at > now());
    if accepted.hash is null then
      key_findings := array[odoo_sync.finding('unauthorized', 'The key of the jobs in the vault is not among the accepted ones: somebody changed it by hand.', 'Run: select odoo_sync.rotate_key()')];
    elsif accepted.scope <> 'jobs' then
      key_findings := array[odoo_sync.finding('notice', format('The key of the jobs may do more than run them (%s), and lies in clear text in pg_net''s queue.', accepted.scope), 'Run: select odoo_sync.rotate_key(), which makes one that may do nothing else.')];
    end if;
  end if;
  return query select * from odoo_sync.check_line('key of the jobs', key_findings, 'It is in the vault and accepted, and may do nothing but run the jobs.');

  if cron = '{}' then
    runs := odoo_sync.cron_runs();
    for j in select * from odoo_sync.jobs k order by k.name loop
      jobs_findings := jobs_findings || odoo_sync.look_at_schedule(j, runs) || odoo_sync.look_for_doubles(j);
    end loop;
    jobs_findings := array(select f from unnest(jobs_findings) with ordinality u (f, n) where not exists (
      select from unnest(means) m where m = f) order by n);
  else
    jobs_findings := array[odoo_sync.finding('waiting', 'Without pg_cron there are no jobs.', 'See pg_cron.')];
  end if;
  return query select * from odoo_sync.check_line('jobs', jobs_findings,
    format('%s jobs are scheduled as they should be.', (select count(*) from odoo_sync.jobs)));

  return query select * from odoo_sync.check_line('address', case
      when exists (select from unnest(means) f where f ->> 'state' = 'no_base_url') then array(select f from unnest(means) f where f ->> 'state' = 'no_base_url')
      when means <> '{}' or exists (select from unnest(key_findings) f where f ->> 'state' <> 'notice') then array[odoo_sync.finding('waiting', 'Nothing can be called yet.', 'See pg_net and the key of the jobs.')]
      else odoo_sync.look_at_knock() end,
    format('pg_net reaches the components at %s, and they know the key.', odoo_sync.setting('base_url') #>> '{}'));

  return query select * from odoo_sync.check_line('admins', case when odoo_sync.has_admins() then '{}' else array[odoo_sync.finding('notice',
      case when odoo_sync.has_admins() is null then 'Who is an admin cannot be told: public.has_role() fails, or is the application''s own.'
        else 'No user is an admin: the card opens with a service key alone.' end,
      'Run: insert into public.user_roles (user_id, role) select id, ''admin'' from auth.users where email = ''you@example.com''')] end,
    'There is a user who is an admin.');
end
$$;
comment on function odoo_sync.check_lines() is 'The lines of odoo_sync.check() that the database finds itself.';

create or replace function odoo_sync.check() returns table (name text, state text, found text, remedy text)
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  last odoo_sync.checks;
begin
  perform odoo_sync.require_admin();
  select * into last from odoo_sync.checks;
  if last.request_id is null or last.knocked_at < now() - interval '1 minute' then
    perform odoo_sync.knock();
  end if;
  if last.lines is null then
    return query select 'components', 'not_tried', 'The components have not been asked yet, which alone can look at Odoo and Storage.',
      'Call POST /check with a key of scope admin (select odoo_sync.new_key(''me'', ''admin'') makes one).';
  else
    return query select 'components', 'ok', format('They looked at %s.', odoo_sync.moment(last.checked_at)), null;
  end if;
  return query
    select coalesce(own.name, l.line ->> 'name'), coalesce(own.state, l.line ->> 'state'),
           case when own.name is null then l.line ->> 'found' else own.found end, case when own.name is null then l.line ->> 'remedy' else own.remedy end
      from jsonb_array_elements(coalesce(last.lines, '[]')) with ordinality l (line, place)
      full join (select o.*, row_number() over () as place from odoo_sync.check_lines() o) own on own.name = l.line ->> 'name'
     order by l.place nulls last, own.place;
end
$$;
comment on function odoo_sync.check() is 'Whether all is set up right: what the components found when they were last asked by POST /check, and what the database finds now.';

revoke execute on all routines in schema odoo_sync from public;
grant execute on function odoo_sync.knock(), odoo_sync.check_lines() to odoo_sync;
grant execute on function odoo_sync.check() to authenticated, service_role;

commit;
