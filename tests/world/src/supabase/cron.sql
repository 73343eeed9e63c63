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

create function cron._check_schedule(schedule text) returns void language plpgsql immutable as $$
declare
  months constant text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
  weekdays constant text[] := '{sun,mon,tue,wed,thu,fri,sat}';
  fields constant text[] := regexp_split_to_array(btrim(schedule, E' \t'), '[ \t]+');
  lowest integer;
  highest integer;
  rest text;
  item text[];
  bound text;
  number numeric;
begin
  if fields[1] in ('@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly', '@reboot', '@restart') then
    return;
  end if;
  -- What follows the fifth field is left unread.
  for position in 1..5 loop
    lowest := (array[0, 0, 1, 1, 0])[position];
    highest := (array[59, 23, 31, 12, 7])[position];
    rest := fields[position];
    loop
      item := regexp_match(rest, '^((\*|([[:alnum:]]+)(?:-([[:alnum:]]*))?)(?:/([[:alnum:]]*))?)');
      -- A step is of a range, and not zero.
      if item is null or item[5] is not null and item[3] is not null and item[4] is null or item[5] !~ '^0*[1-9]\d*$' then
        raise exception using errcode = 'XX000', message = 'invalid schedule: ' || schedule;
      end if;
      foreach bound in array array_remove(item[3:4], null) loop
        number := case
          when bound ~ '^\d+$' then bound::numeric
          when position = 4 then array_position(months, lower(bound))
          when position = 5 then array_position(weekdays, lower(bound))
        end;
        if number between lowest and highest is not true then
          raise exception using errcode = 'XX000', message = 'invalid schedule: ' || schedule;
        end if;
      end loop;
      -- So is what follows a list.
      rest := substr(rest, length(item[1]) + 1);
      exit when rest !~ '^,';
      rest := substr(rest, 2);
    end loop;
  end loop;
end
$$;

-- Works as the owner of these tables, for the caller that the functions below name.
create function cron._schedule(caller text, job_name text, schedule text, command text, database text, username text, active boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog as $$
declare
  id bigint;
begin
  perform cron._check_schedule($3);
  if $6 is not null and not (select rolsuper from pg_roles where rolname = $1) then
    raise exception using errcode = 'XX000', message = 'must be superuser to create a job for another role';
  elsif not exists (select from pg_database where datname = $5) then
    raise exception using errcode = '3D000', message = format('database "%s" does not exist', $5);
  end if;
  insert into cron.job as j (schedule, command, database, username, active, jobname)
  values ($3, $4, $5, coalesce($6, $1), $7, $2)
  on conflict on constraint jobname_username_uniq
  -- A job that is not active stays so, and its database too, as in 1.4.2.
  do update set schedule = excluded.schedule, command = excluded.command
  returning j.jobid into id;
  return id;
end
$$;

create function cron._not_null(job_name text, schedule text, command text) returns void language plpgsql immutable as $$
declare
  lacking constant text := case when job_name is null then 'job_name' when schedule is null then 'schedule' when command is null then 'command' end;
begin
  if lacking is not null then
    raise exception using errcode = 'XX000', message = lacking || ' can not be NULL';
  end if;
end
$$;

create function cron.schedule_in_database(
  job_name text, schedule text, command text, database text,
  username text default null, active boolean default true
) returns bigint language plpgsql as $$
begin
  perform cron._not_null($1, $2, $3);
  return cron._schedule(current_user, $1, $2, $3, coalesce($4, current_database()), $5, coalesce($6, true));
end
$$;
revoke all on function cron.schedule_in_database(text, text, text, text, text, boolean) from public;

create function cron.schedule(job_name text, schedule text, command text) returns bigint language plpgsql as $$
begin
  perform cron._not_null($1, $2, $3);
  return cron._schedule(current_user, $1, $2, $3, current_database(), null, true);
end
$$;

create function cron.schedule(schedule text, command text) returns bigint language plpgsql strict as $$
begin
  return cron._schedule(current_user, null, $1, $2, current_database(), null, true);
end
$$;

create function cron._unschedule(caller text, job_id bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if not exists (select from cron.job where jobid = $2) then
    raise exception using errcode = 'XX000', message = 'could not find valid entry for job ' || $2;
  end if;
  delete from cron.job where jobid = $2 and (username = $1 or (select rolsuper from pg_roles where rolname = $1));
  if not found then
    raise insufficient_privilege using message = 'permission denied for table job';
  end if;
  return true;
end
$$;

create function cron.unschedule(job_id bigint) returns boolean language plpgsql strict as $$
begin
  return cron._unschedule(current_user, $1);
end
$$;

create function cron._unschedule(caller text, job_name text) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
begin
  delete from cron.job where jobname = $2 and username = $1;
  if not found then
    raise exception using errcode = 'XX000', message = format('could not find valid entry for job ''%s''', $2);
  end if;
  return true;
end
$$;

create function cron.unschedule(job_name text) returns boolean language plpgsql strict as $$
begin
  return cron._unschedule(current_user, $1);
end
$$;

create function cron._alter_job(caller text, job_id bigint, schedule text, command text, database text, username text, active boolean)
returns void language plpgsql security definer set search_path = pg_catalog as $$
declare
  is_superuser constant boolean := (select rolsuper from pg_roles where rolname = $1);
begin
  if $6 is not null and not is_superuser then
    raise exception using errcode = 'XX000', message = 'must be superuser to alter username';
  elsif $5 is not null and not exists (select from pg_database where datname = $5) then
    raise exception using errcode = '3D000', message = format('database "%s" does not exist', $5);
  end if;
  if $3 is not null then
    perform cron._check_schedule($3);
  end if;
  if num_nonnulls($3, $4, $5, $6, $7) = 0 then
    raise exception using errcode = 'XX000', message = 'no updates specified',
      hint = 'You must specify at least one job attribute to change when calling alter_job';
  end if;
  update cron.job j
  set schedule = coalesce($3, j.schedule), command = coalesce($4, j.command), database = coalesce($5, j.database),
      username = coalesce($6, j.username), active = coalesce($7, j.active)
  where j.jobid = $2 and (is_superuser or j.username = $1);
  if not found then
    raise exception using errcode = 'XX000', message = format('Job %s does not exist or you don''t own it', $2);
  end if;
end
$$;

create function cron.alter_job(
  job_id bigint, schedule text default null, command text default null, database text default null,
  username text default null, active boolean default null
) returns void language plpgsql as $$
begin
  perform cron._alter_job(current_user, $1, $2, $3, $4, $5, $6);
end
$$;
revoke all on function cron.alter_job(bigint, text, text, text, text, boolean) from public;
