-- The stand-in for pg_cron: its tables, functions and grants as its own catalogue describes them.
-- The clock is a task in this crate. Second-granular schedules are refused, as by 1.4.2.

create schema cron;
create sequence cron.jobid_seq;
create sequence cron.runid_seq;

create table cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport integer not null default inet_server_port(),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);
grant select on cron.job to public;

create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);
grant select, delete on cron.job_run_details to public;
grant select on sequence cron.jobid_seq, cron.runid_seq to public;

-- The caller's name is passed along, since these functions run as their owner.
create function cron._caller() returns text language sql stable as $$ select session_user::text $$;

create function cron._check_schedule(schedule text) returns void language plpgsql immutable as $$
declare
  number constant text := '(\d+)(?:-(\d+))?';
  item constant text := '(?:\*|\d+(?:-\d+)?)(?:/\d+)?';
  field text;
  position integer := 0;
  digits text[];
begin
  if lower(schedule) in ('@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly', '@reboot') then
    return;
  end if;
  foreach field in array regexp_split_to_array(btrim(schedule), '\s+') loop
    position := position + 1;
    -- Names of months and days pass unchecked.
    if field ~ '[0-9*]' and field !~ format('^%s(?:,%s)*$', item, item) then
      raise exception 'invalid schedule: %', schedule;
    end if;
    for digits in select regexp_matches(regexp_replace(field, '/\d+', '', 'g'), number, 'g') loop
      if digits[1]::integer < (array[0, 0, 1, 1, 0])[position]
         or coalesce(digits[2], digits[1])::integer > (array[59, 23, 31, 12, 7])[position] then
        raise exception 'invalid schedule: %', schedule;
      end if;
    end loop;
  end loop;
  if position <> 5 then
    raise exception 'invalid schedule: %', schedule;
  end if;
end
$$;

create function cron.schedule_in_database(
  job_name text, schedule text, command text, database text,
  username text default null, active boolean default true
) returns bigint language plpgsql security definer set search_path = pg_catalog as $$
declare
  id bigint;
begin
  perform cron._check_schedule($2);
  if $5 <> cron._caller() and not (select rolsuper from pg_roles where rolname = cron._caller()) then
    raise insufficient_privilege using message = 'must be superuser to create a job for another role';
  end if;
  insert into cron.job as j (schedule, command, database, username, active, jobname)
  values ($2, $3, $4, coalesce($5, cron._caller()), $6, $1)
  on conflict on constraint jobname_username_uniq
  -- A job that is not active stays so, as in 1.4.2.
  do update set schedule = excluded.schedule, command = excluded.command
  returning j.jobid into id;
  return id;
end
$$;
revoke all on function cron.schedule_in_database(text, text, text, text, text, boolean) from public;

create function cron.schedule(job_name text, schedule text, command text) returns bigint
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if $1 is null then
    raise exception 'job_name can not be NULL';
  end if;
  return cron.schedule_in_database($1, $2, $3, current_database()::text);
end
$$;

create function cron.schedule(schedule text, command text) returns bigint
language plpgsql strict security definer set search_path = pg_catalog as $$
declare
  id bigint;
begin
  perform cron._check_schedule($1);
  insert into cron.job as j (schedule, command, username) values ($1, $2, cron._caller()) returning j.jobid into id;
  return id;
end
$$;

create function cron.unschedule(job_id bigint) returns boolean
language plpgsql strict security definer set search_path = pg_catalog as $$
begin
  if not exists (select from cron.job where jobid = $1) then
    raise exception 'could not find valid entry for job %', $1;
  end if;
  delete from cron.job where jobid = $1 and (username = cron._caller() or (select rolsuper from pg_roles where rolname = cron._caller()));
  if not found then
    raise insufficient_privilege using message = 'permission denied for table job';
  end if;
  return true;
end
$$;

create function cron.unschedule(job_name text) returns boolean
language plpgsql strict security definer set search_path = pg_catalog as $$
begin
  delete from cron.job where jobname = $1 and username = cron._caller();
  if not found then
    raise exception 'could not find valid entry for job ''%''', $1;
  end if;
  return true;
end
$$;

create function cron.alter_job(
  job_id bigint, schedule text default null, command text default null, database text default null,
  username text default null, active boolean default null
) returns void language plpgsql security definer set search_path = pg_catalog as $$
begin
  if $2 is not null then
    perform cron._check_schedule($2);
  end if;
  update cron.job j
  set schedule = coalesce($2, j.schedule), command = coalesce($3, j.command), database = coalesce($4, j.database),
      username = coalesce($5, j.username), active = coalesce($6, j.active)
  where j.jobid = $1 and j.username = cron._caller();
  if not found then
    raise exception 'Job % does not exist or you don''t own it', $1;
  end if;
end
$$;
revoke all on function cron.alter_job(bigint, text, text, text, text, boolean) from public;
