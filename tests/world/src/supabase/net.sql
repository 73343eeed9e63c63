-- The stand-in for pg_net: its tables, functions and grants as its own catalogue describes them.
-- The worker is a task in this crate; it is woken when a transaction that asked for it commits.

create schema net;
create domain net.http_method text check (value ~* '^(get|post|delete)$');

create unlogged table net.http_request_queue (
  id bigserial not null,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);
create index on net._http_response (created);

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code integer, headers jsonb, body text);
create type net.http_response_result as (status net.request_status, message text, response net.http_response);

create function net.wake() returns void language sql as $$ select pg_notify('pg_net', '') $$;

create function net.worker_restart() returns boolean language sql as $$ select net.wake(); select true $$;

-- The real worker is known by its backend_type, which a client cannot have: this one by its name. Who may not
-- see what others do sees no backend_type.
create function net.check_worker_is_up() returns void language plpgsql as $$
begin
  if not exists (select from pg_stat_activity
                 where application_name like 'pg_net%' and datname = current_database() and backend_type is not null) then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;

-- Who waits need not be one who sees the worker.
create function net.wait_until_running() returns void language plpgsql security definer set search_path = pg_catalog as $$
begin
  loop
    begin
      perform net.check_worker_is_up();
      return;
    exception when raise_exception then
      perform pg_sleep(0.05);
      perform pg_stat_clear_snapshot();
    end;
  end loop;
end
$$;

create function net._urlencode_string(string varchar) returns text language sql immutable as $$
  select string_agg(
    case when chr(get_byte(bytes, i)) ~ '[A-Za-z0-9_.~-]' and get_byte(bytes, i) < 128
      then chr(get_byte(bytes, i)) else '%' || upper(lpad(to_hex(get_byte(bytes, i)), 2, '0')) end, '' order by i)
  from (select convert_to(string, 'UTF8') as bytes) s, generate_series(0, octet_length(bytes) - 1) i
$$;

-- As libcurl takes an address apart and puts it together: parameters are appended before what follows a #, their
-- escapes in small letters.
create function net._encode_url_with_params_array(url text, params_array text[]) returns text language plpgsql immutable as $$
declare
  parts constant text[] := regexp_match(url, '^([a-z][a-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$', 'i');
  port constant text := substring(parts[2] from ':(\d+)$');
  fault constant text := case
    when parts is null then 'Bad scheme'
    when parts[2] = '' then 'No host part in the URL'
    when length(port) > 5 or port::integer > 65535 then 'Port number was not a decimal number between 0 and 65535'
    when parts[2] ~ '\s' then 'Bad hostname'
    when parts[3] ~ '[[:cntrl:][:space:]]' then 'Bad path'
    when parts[4] ~ '[[:cntrl:][:space:]]' then 'Bad query'
  end;
  query text := nullif(parts[4], '?');
  param text;
  escape text;
begin
  if url is null then
    return null;
  elsif fault is not null then
    raise exception using errcode = 'XX000', message = format('invalid URL "%s": %s', url, fault);
  end if;
  foreach param in array coalesce(array_remove(params_array, null), '{}') loop
    for escape in select (regexp_matches(param, '%[0-9A-F]{2}', 'g'))[1] loop
      param := replace(param, escape, lower(escape));
    end loop;
    query := case when query is null then '?' else query || '&' end || param;
  end loop;
  return lower(parts[1]) || '://' || parts[2] || coalesce(nullif(parts[3], ''), '/') || coalesce(query, '') || coalesce(parts[5], '');
end
$$;

create function net._params(params jsonb) returns text[] language sql immutable as $$
  select array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)) from jsonb_each_text(params)
$$;

create function net.http_get(
  url text, params jsonb default '{}'::jsonb, headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint language plpgsql as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values ('GET', net._encode_url_with_params_array($1, net._params($2)), $3, $4) returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_post(
  url text, body jsonb default '{}'::jsonb, params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint language plpgsql as $$
declare
  request_id bigint;
  content_type text;
begin
  select value into content_type from jsonb_each_text(coalesce($4, '{}')) where lower(key) = 'content-type' limit 1;
  if content_type is null then
    headers := $4 || '{"Content-Type": "application/json"}'::jsonb;
  elsif content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values ('POST', net._encode_url_with_params_array($1, net._params($3)), headers, convert_to($2::text, 'UTF8'), $5) returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_delete(
  url text, params jsonb default '{}'::jsonb, headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000, body jsonb default null::jsonb
) returns bigint language plpgsql as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values ('DELETE', net._encode_url_with_params_array($1, net._params($2)), $3, convert_to($5::text, 'UTF8'), $4) returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

-- The real one has no use: it does not say what becomes of what it selects.
create function net.http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result language plpgsql as $$
begin
  raise notice 'The net.http_collect_response function is deprecated.';
  select request_id, async;
end
$$;

grant all on net.http_request_queue, net._http_response to public;
grant usage on sequence net.http_request_queue_id_seq to public;
do $$
begin
  execute format('grant usage on schema net to %I, anon, authenticated, service_role', current_setting('world.owner'));
end
$$;
