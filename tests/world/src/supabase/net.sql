-- The stand-in for pg_net: its tables, functions and grants as its own catalogue describes them.
-- The worker is a task in this crate; it is woken when a transaction that asked for it commits.

create schema net;
create domain net.http_method text check (value ilike 'get' or value ilike 'post' or value ilike 'delete');

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
  select coalesce(string_agg(
    case when chr(get_byte(bytes, i)) ~ '^[A-Za-z0-9_.~-]$'
      then chr(get_byte(bytes, i)) else '%' || upper(lpad(to_hex(get_byte(bytes, i)), 2, '0')) end, '' order by i), left(string, 0))
  from (select convert_to(string, 'UTF8') as bytes) s, generate_series(0, octet_length(bytes) - 1) i
$$;

-- A path as libcurl asks for it.
create function net._without_dots(path text) returns text language plpgsql immutable as $$
declare
  part text;
  kept text[] := '{}';
begin
  foreach part in array (string_to_array(path, '/'))[2:] loop
    if part = '..' then
      kept := trim_array(kept, least(cardinality(kept), 1));
    elsif part <> '.' then
      kept := array_append(kept, part);
    end if;
  end loop;
  if path ~ '/[.]{1,2}$' then
    kept := array_append(kept, '');
  end if;
  return '/' || array_to_string(kept, '/');
end
$$;

-- As libcurl takes an address apart and puts it together: parameters are appended before what follows a #, their
-- escapes in small letters. (Of what it speaks beside http there is ftp here.)
create function net._encode_url_with_params_array(url text, params_array text[]) returns text language plpgsql immutable as $$
declare
  parts constant text[] := regexp_match(url, '^([[:alnum:]+.-]+):(/*)([^/?#]*)([^?#]*)([?][^#]*)?(#.*)?$');
  -- user@, a name or an address in brackets, :port
  host constant text[] := regexp_match(parts[3], '^([^@]*@)?(\[[^]]*\]?|[^:]*)(:?)(.*)$');
  scheme constant text := lower(parts[1]);
  port constant text := ltrim(host[4], '0');
  fault constant text := case
    when parts is null then 'Bad scheme'
    when scheme not in ('http', 'https', 'ftp') then 'Unsupported URL scheme'
    when length(parts[2]) not between 1 and 3 then 'Unsupported number of slashes following scheme'
    when parts[6] ~ '[[:cntrl:] ]' then 'Bad fragment'
    when parts[5] ~ '[[:cntrl:] ]' then 'Bad query'
    when parts[4] ~ '[[:cntrl:] ]' then 'Bad path'
    when host[3] || host[4] !~ '^(:\d*)?$' or length(port) > 5 or lpad(port, 5, '0') > '65535' then 'Port number was not a decimal number between 0 and 65535'
    when host[2] = '' then 'No host part in the URL'
    when host[2] ~ '^\[' and host[2] !~ '^\[[[:xdigit:]:.]+\]$' then 'Bad IPv6 address'
    when host[2] !~ '^\[' and host[2] ~ '[][[:cntrl:] !"$&''()*+,;<=>\\^`{}@]' then 'Bad hostname'
  end;
  query text := nullif(parts[5], '?');
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
  return concat(scheme, '://', host[1], host[2], ':' || nullif(coalesce(nullif(port, ''), left(host[4], 1)), ''),
    net._without_dots(parts[4]), query, nullif(parts[6], '#'));
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
  select value into content_type from jsonb_each_text($4) where lower(key) = 'content-type';
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

grant usage on schema net to public;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;
