-- odoo-to-supabase, 1: schema, extensions, roles, who is an admin, settings.
--
-- Run the files of this folder in their order, as the role `postgres`, in the SQL editor or by any
-- client; they can be run again at any time. Each is one transaction: no table is visible before it
-- is protected, and an interrupted file changes nothing.

begin;

create schema if not exists odoo_sync;
comment on schema odoo_sync is 'odoo-to-supabase: functions and views for people, and what its components keep for themselves.';

-- The three extensions that the schedules need. If one cannot be created here, the rest is set up
-- all the same, and odoo_sync.health() reports what is missing.
do $$
declare
  wanted record;
begin
  for wanted in select * from (values ('pg_cron', 'cron'), ('pg_net', 'net'), ('supabase_vault', 'vault')) w (extension, in_schema) loop
    if to_regnamespace(wanted.in_schema) is null then
      begin
        execute format('create extension if not exists %I', wanted.extension);
      exception when others then
        raise notice 'extension % could not be created (%): switch it on in the dashboard under Database, Extensions, and run these files again',
          wanted.extension, sqlerrm;
      end;
    end if;
  end loop;
end
$$;

-- The components' role. Give it a password, which is stored in no file, and set the components'
-- variable db_password to the same:
--   alter role odoo_sync password '…';
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'odoo_sync') then
    create role odoo_sync login;
  end if;
exception when duplicate_object or unique_violation then
  null; -- someone else just created it
end
$$;
-- A component that hangs must not hold a lock for long. With the default random_page_cost, and before the first
-- autovacuum of a new catalogue, each claim sorts all files that are due (20 ms instead of 3 with 50,000 files; seen
-- on Postgres 15). Settings that are in place are not set again: roles belong to the whole server, and two
-- installations at once would block each other.
do $$
declare
  setting text;
begin
  foreach setting in array array['statement_timeout=30s', 'idle_in_transaction_session_timeout=10s', 'random_page_cost=1.1'] loop
    if not exists (
      select from pg_catalog.pg_db_role_setting s join pg_catalog.pg_roles r on r.oid = s.setrole
      where r.rolname = 'odoo_sync' and s.setdatabase = 0 and setting = any (s.setconfig)
    ) then
      execute format('alter role odoo_sync set %s = %L', split_part(setting, '=', 1), split_part(setting, '=', 2));
    end if;
  end loop;
end
$$;

grant usage on schema odoo_sync to odoo_sync, authenticated, service_role;
grant usage on schema public to odoo_sync, service_role;

-- Who is an admin is decided by the application's own public.has_role(user, role). If there is none,
-- the usual one is created.
do $$
declare
  existing regprocedure := (
    select oid from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace and proname = 'has_role' and pronargs = 2 limit 1);
  roles regclass := to_regclass('public.user_roles');
  -- The table is the application's own: whether a user may read his own row is not known.
  is_definer boolean := roles is not null;
begin
  if existing is not null then
    -- Versions before 0.3.0 created it, with its table, as security definer, which Supabase's linter advises against.
    if not (coalesce(obj_description(existing, 'pg_proc') = 'Whether a user has a role. Security definer, so that policies may ask it.', false)
            and exists (select from pg_catalog.pg_policy p where p.polrelid = roles and p.polname = 'own_roles')
            and has_table_privilege('authenticated', roles, 'select')) then
      return;
    end if;
    is_definer := false;
  end if;
  if to_regtype('public.app_role') is null then
    create type public.app_role as enum ('admin', 'moderator', 'user');
    comment on type public.app_role is 'Roles that a user of the application may have.';
  end if;
  if roles is null then
    create table public.user_roles (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null references auth.users (id) on delete cascade,
      role public.app_role not null,
      unique (user_id, role)
    );
    comment on table public.user_roles is 'Who has which role in the application. Kept apart from profiles, which users may write themselves.';
    comment on column public.user_roles.id is 'Row id.';
    comment on column public.user_roles.user_id is 'The user.';
    comment on column public.user_roles.role is 'The role; admin may read and steer the sync.';
    alter table public.user_roles enable row level security;
    revoke all on public.user_roles from public, anon, authenticated;
    grant select on public.user_roles to authenticated;
    create policy own_roles on public.user_roles for select to authenticated using (user_id = (select auth.uid()));
  end if;
  if not is_definer and not exists (select from pg_catalog.pg_policy p where p.polrelid = 'public.user_roles'::regclass and p.polname = 'odoo_sync_asks') then
    -- The status page asks about the user behind a token.
    grant select on public.user_roles to odoo_sync, service_role;
    create policy odoo_sync_asks on public.user_roles for select to odoo_sync using (true);
  end if;
  execute format($f$
    create or replace function public.has_role(_user_id uuid, _role public.app_role) returns boolean
      language sql stable %s set search_path = pg_catalog, pg_temp as $b$
        select exists (select from public.user_roles where user_id = _user_id and role = _role)
      $b$ $f$, case when is_definer then 'security definer' else 'security invoker' end);
  comment on function public.has_role(uuid, public.app_role) is 'Whether a user has a role, as far as the caller may know: his own, for a user.';
  revoke all on function public.has_role(uuid, public.app_role) from public, anon;
  grant execute on function public.has_role(uuid, public.app_role) to authenticated, service_role;
end
$$;
-- The status page asks it about the user behind a token.
do $$
declare
  existing regprocedure;
begin
  for existing in
    select oid from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace and proname = 'has_role' and pronargs = 2
  loop
    execute format('grant execute on function %s to odoo_sync, authenticated', existing);
  end loop;
end
$$;

-- Whoever calls: in a security definer function current_user is its owner, but the setting `role`
-- still says what PostgREST switched to.
create or replace function odoo_sync.caller() returns text
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(nullif(pg_catalog.current_setting('role', true), 'none'), session_user::text)
  $$;
comment on function odoo_sync.caller() is 'The role that calls, also from within a security definer function.';

create or replace function odoo_sync.is_admin() returns boolean
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  caller text := odoo_sync.caller();
  owner oid := (select nspowner from pg_catalog.pg_namespace where nspname = 'odoo_sync');
begin
  -- The owner in the SQL editor or a cron job, a backend with the service key, a component that
  -- checked its own caller, or a signed-in admin.
  if pg_catalog.pg_has_role(caller, owner, 'member') or caller in ('service_role', 'odoo_sync') then
    return true;
  end if;
  return caller = 'authenticated' and coalesce(public.has_role((select auth.uid()), 'admin'), false);
end
$$;
comment on function odoo_sync.is_admin() is 'Whether the caller may steer the sync and read what it copied.';

create or replace function odoo_sync.require_admin() returns void
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if odoo_sync.is_admin() then
    return;
  end if;
  raise exception 'only an admin may do this'
    using errcode = 'insufficient_privilege', hint = 'Sign in as a user whose role in public.user_roles is admin.';
end
$$;
comment on function odoo_sync.require_admin() is 'Raises unless the caller may steer the sync.';

create or replace function odoo_sync.require_owner() returns void
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if not pg_has_role(odoo_sync.caller(), (select nspowner from pg_namespace where nspname = 'odoo_sync'), 'member') then
    raise exception 'only the owner of the project may do this'
      using errcode = 'insufficient_privilege', hint = 'Run it in the SQL editor.';
  end if;
end
$$;
comment on function odoo_sync.require_owner() is 'Raises unless the caller owns schema odoo_sync: admins of the application may not decide where keys go.';

-- Locks these tables exclusively until the end of the file, so that nobody sees them half changed. If one of
-- them cannot be locked, it releases the others and tries again: other sessions wait for half a second at
-- most, and no deadlock is possible.
create or replace procedure odoo_sync.hold(variadic relations text[])
  language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' as $$
declare
  relation text;
begin
  for attempt in 1..60 loop
    begin
      foreach relation in array relations loop
        if to_regclass(relation) is not null then
          execute format('lock table %s in access exclusive mode', relation::regclass);
        end if;
      end loop;
      return;
    exception when lock_not_available or deadlock_detected then
      perform pg_sleep(random() / 2);
    end;
  end loop;
  raise exception 'somebody has been working on % for too long', relation
    using hint = 'Look into pg_stat_activity for who it is, and run this file again when that has ended.';
end
$$;
comment on procedure odoo_sync.hold(text[]) is 'Locks tables and views to the end of the transaction, without a deadlock.';

-- Rights on a table by which the API's roles could do more than these files let them: policies of an
-- older application, and grants. A restrictive policy opens nothing, and stays; so does what
-- service_role may, which is nobody's but the project's own servers'.
create or replace function odoo_sync.foreign_rights(target regclass) returns table (given text, taken text)
  language sql stable set search_path = pg_catalog, pg_temp as $$
    with strangers as (
      select 0::oid as oid, 'public' as name
      union
      select r.oid, quote_ident(r.rolname) from pg_roles r
       where r.rolname <> 'service_role' and exists (
         select from pg_roles a where a.rolname in ('anon', 'authenticated', 'authenticator', 'odoo_sync') and pg_has_role(a.oid, r.oid, 'member'))
    ), granted as (
      select c.relacl as acl, '' as of_column from pg_class c where c.oid = target
      union all
      select a.attacl, format(' (%I)', a.attname) from pg_attribute a where a.attrelid = target and not a.attisdropped
    )
    select format('create policy %I on %s for %s to %s', p.polname, target,
             case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
             array_to_string(array(select coalesce(s.name, r::regrole::text) from unnest(p.polroles) r left join strangers s on s.oid = r), ', '))
             || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
             || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''),
           format('drop policy %I on %s', p.polname, target)
      from pg_policy p
     where p.polrelid = target and p.polpermissive and p.polname not in ('component', 'admins_read')
       and p.polroles && array(select s.oid from strangers s)
    union all
    select format('grant %s on %s to %s', string_agg(lower(a.privilege_type) || g.of_column, ', ' order by a.privilege_type, g.of_column), target, s.name),
           format('revoke all on %s from %s', target, s.name)
      from granted g cross join aclexplode(g.acl) a join strangers s on s.oid = a.grantee
     where s.name <> 'odoo_sync' and not (s.name = 'authenticated' and a.privilege_type = 'SELECT' and g.of_column = '')
     group by s.name
  $$;
comment on function odoo_sync.foreign_rights(regclass) is 'What lets the API''s roles do more with a table than these files do: the statement that gives it, and the one that takes it.';

call odoo_sync.hold('odoo_sync.settings', 'odoo_sync.schema_versions', 'odoo_sync.notices');

create table if not exists odoo_sync.notices (
  id bigint generated always as identity primary key,
  noted_at timestamptz not null default now(),
  words text not null
);
comment on table odoo_sync.notices is 'What these files did by themselves and a person should know. odoo_sync.health() reports it until the rows are deleted.';
comment on column odoo_sync.notices.id is 'Row id.';
comment on column odoo_sync.notices.noted_at is 'When.';
comment on column odoo_sync.notices.words is 'What was done, and what it means.';

-- Protects a table; every file of this folder uses it.
create or replace procedure odoo_sync.protect(target regclass, component_rights text)
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  -- This transaction created the table: other roles' rights on it come from the project's default privileges.
  is_new boolean := (select t.xmin = pg_current_xact_id()::xid from pg_class c join pg_type t on t.oid = c.reltype where c.oid = target);
  foreign_right record;
  policy_name text;
begin
  execute format('alter table %s enable row level security', target);
  for foreign_right in select * from odoo_sync.foreign_rights(target) loop
    if not is_new then
      insert into odoo_sync.notices (words) values (format('%s was open to others than admins, which was taken back: %s.', target, foreign_right.given));
    end if;
    execute foreign_right.taken;
  end loop;
  foreach policy_name in array array['component', 'admins_read'] loop
    execute format('drop policy if exists %I on %s', policy_name, target);
  end loop;
  execute format('revoke all on %s from public, anon, authenticated, odoo_sync', target);
  if component_rights <> '' then
    execute format('grant %s on %s to odoo_sync', component_rights, target);
    execute format('create policy component on %s to odoo_sync using (true) with check (true)', target);
  end if;
  -- By name, since new projects grant nothing by default. Row-level security does not hold for service_role.
  execute format('grant select on %s to authenticated, service_role', target);
  -- Asked once a statement, not once a row.
  execute format('create policy admins_read on %s for select to authenticated using ((select public.has_role((select auth.uid()), ''admin'')))', target);
end
$$;
comment on procedure odoo_sync.protect(regclass, text) is 'Row-level security for a table: role odoo_sync gets these rights, admins and service_role may read, nobody else anything; rights that others had are revoked, and reported in odoo_sync.notices.';
call odoo_sync.protect('odoo_sync.notices', '');

-- has_role() runs with its owner's rights for every caller. Unless its search_path names pg_temp last, it looks for
-- its table in the caller's temporary schema first, where the caller can put a view of that name, whose functions
-- would run as the owner. So pg_temp is added at the end; everything else is found as before.
do $$
declare
  existing regprocedure;
  path text;
  looks text;
begin
  for existing, path in
    select p.oid, (select substr(c, 13) from unnest(p.proconfig) c where c like 'search\_path=%')
      from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname = 'has_role' and p.pronargs = 2
  loop
    continue when path ~ '^(?!.*pg_temp.*pg_temp)(.*, )?"?pg_temp"?$';
    looks := case
      when path is null then 'public, extensions, pg_temp'
      when path in ('', '""') then 'pg_catalog, pg_temp'
      else concat_ws(', ', nullif(btrim(regexp_replace(path, '"?pg_temp"?', '', 'g'), ', '), ''), 'pg_temp') end;
    begin
      execute format('alter function %s set search_path = %s', existing, looks);
      if path is distinct from '""' then
        insert into odoo_sync.notices (words) values (format(
          '%s looked into its caller''s own temporary schema first, where anybody can put what is not meant: its search_path is now %s.', existing, looks));
      end if;
    exception when insufficient_privilege then
      insert into odoo_sync.notices (words) values (format(
        '%s looks into its caller''s own temporary schema first, where anybody can put what is not meant. Its owner has to run: alter function %s set search_path = %s.',
        existing, existing, looks));
    end;
  end loop;
end
$$;

create table if not exists odoo_sync.schema_versions (
  version integer primary key,
  applied_at timestamptz not null default now()
);
comment on table odoo_sync.schema_versions is 'Which versions of these files were applied, and when first.';
comment on column odoo_sync.schema_versions.version is 'Number of the version; the highest is the one in place.';
comment on column odoo_sync.schema_versions.applied_at is 'When it was first applied.';
call odoo_sync.protect('odoo_sync.schema_versions', 'select');

create table if not exists odoo_sync.settings (
  name text primary key,
  value jsonb not null,
  updated_at timestamptz not null default now()
);
comment on table odoo_sync.settings is 'What a person may set: odoo_sync.set(name, value).';
comment on column odoo_sync.settings.name is 'The setting.';
comment on column odoo_sync.settings.value is 'Its value.';
comment on column odoo_sync.settings.updated_at is 'When it was last set.';
call odoo_sync.protect('odoo_sync.settings', 'select');

insert into odoo_sync.settings (name, value) values
  ('base_url', 'null'),
  ('allow_http', 'false'),
  ('keep_days.migration_logs', '90'),
  ('keep_days.sync_validation_log', '90'),
  ('keep_days.runs', '30'),
  ('keep_days.calls', '14'),
  ('keep_days.cron_job_run_details', '7'),
  ('keep_days.net_responses', '1'),
  ('compare_days.crm-sync', '1'),
  ('compare_days.chatter-sync', '1'),
  ('most_deleted_share', '0.2'),
  ('database_bytes', 'null'),
  ('search_configuration', '"simple"'),
  ('keep_days.deleted', 'null')
on conflict (name) do nothing;
-- The default was 7 before version 4. A 7 that was set later is kept.
update odoo_sync.settings set value = '1'
 where name = 'compare_days.chatter-sync' and value = '7' and not exists (select from odoo_sync.schema_versions v where v.version >= 4);

create or replace function odoo_sync.setting(name text) returns jsonb
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.value from odoo_sync.settings s where s.name = setting.name
  $$;
comment on function odoo_sync.setting(text) is 'The value of a setting.';

create or replace function odoo_sync.set(name text, value jsonb) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_owner();
  if not exists (select from odoo_sync.settings s where s.name = $1) then
    raise exception 'there is no setting %', $1
      using hint = 'select name, value from odoo_sync.settings lists them.';
  end if;
  if $1 = 'base_url' then
    raise exception 'base_url is set by odoo_sync.schedule(base_url), together with the jobs that use it';
  end if;
  if $1 in ('alert_url', 'heartbeat_url') then
    -- Such an address is a secret: anybody who has it may post there. Only the owner can read it.
    perform odoo_sync.set_webhook($1, $2);
    $2 := case when $2 <> 'null' then to_jsonb('kept in odoo_sync.webhooks'::text) else 'null' end;
  elsif $1 = 'alert_after_minutes' and (jsonb_typeof($2) <> 'number' or ($2)::numeric not between 0 and 10080) then
    raise exception '% is a number of minutes from 0 to 10080, not %', $1, $2;
  elsif $1 = 'alert_format' and coalesce($2 #>> '{}', '') not in ('auto', 'slack', 'discord', 'teams', 'mattermost', 'json') then
    raise exception '% is auto, slack, discord, teams, mattermost or json, not %', $1, $2;
  end if;
  -- With less than a day, rows that odoo_sync.health() needs would be purged.
  if $1 like 'keep\_days.%' and not ($1 = 'keep_days.deleted' and $2 = 'null') and (jsonb_typeof($2) <> 'number' or ($2)::numeric not between 1 and 36500) then
    raise exception '% is a number of days from 1 to 36500, not %', $1, $2;
  end if;
  if $1 = 'allow_http' and jsonb_typeof($2) <> 'boolean' then
    raise exception 'allow_http is true or false, not %', $2;
  end if;
  if $1 like 'compare\_days.%' and (jsonb_typeof($2) <> 'number' or ($2)::numeric not between 0.04 and 365) then
    raise exception '% is a number of days from 0.04 to 365, not %', $1, $2;
  end if;
  if $1 = 'most_deleted_share' and (jsonb_typeof($2) <> 'number' or ($2)::numeric not between 0 and 1) then
    raise exception '% is a share from 0 to 1, not %', $1, $2;
  end if;
  if $1 = 'database_bytes' and $2 <> 'null' and (jsonb_typeof($2) <> 'number' or ($2)::numeric < 1000000) then
    raise exception '% is the size of the disk in bytes, such as 8589934592, or null, not %', $1, $2;
  end if;
  if $1 = 'search_configuration' then
    perform odoo_sync.make_search($2 #>> '{}');
  end if;
  update odoo_sync.settings s set value = $2, updated_at = now() where s.name = $1;
end
$$;
comment on function odoo_sync.set(text, jsonb) is 'Sets a setting, such as odoo_sync.set(''keep_days.migration_logs'', ''365'').';

revoke execute on all routines in schema odoo_sync from public;
revoke execute on function odoo_sync.set(text, jsonb) from authenticated, service_role; -- which had it once
grant execute on function odoo_sync.setting(text) to odoo_sync, authenticated, service_role;

commit;
