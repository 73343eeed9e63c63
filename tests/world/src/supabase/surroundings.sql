-- What a Supabase project has around Postgres on its first day, as far as this project meets it:
-- the API's roles, `postgres` without superuser, schema auth, and the default privileges that hand
-- every new table of schema public to the API's roles. Creates only what is missing.
-- The setting `world.owner` holds the role that owns the project.

do $$
declare
  owner text := current_setting('world.owner');
  role text;
begin
  -- Test binaries with one server may come here at the same time.
  perform pg_advisory_xact_lock(7102385);

  if not exists (select from pg_roles where rolname = owner) then
    execute format('create role %I nosuperuser createdb createrole login replication bypassrls', owner);
    execute format('grant pg_monitor, pg_read_all_data, pg_signal_backend to %I', owner);
  end if;

  foreach role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_roles where rolname = role) then
      execute format('create role %I nologin inherit', role);
      execute format('grant %I to %I with admin option', role, owner);
      if role = 'service_role' then
        alter role service_role bypassrls;
      end if;
    end if;
  end loop;

  if not exists (select from pg_namespace where nspname = 'auth') then
    execute format('alter database %I owner to %I', current_database(), owner);
    create schema auth;
    create table auth.users (
      id uuid primary key default gen_random_uuid(),
      email text,
      raw_app_meta_data jsonb,
      raw_user_meta_data jsonb,
      created_at timestamptz default now()
    );
    execute format('grant usage on schema auth to %I, anon, authenticated, service_role', owner);
    -- References is what lets a project's own tables point at its users.
    execute format('grant all on auth.users to %I', owner);

    execute format('grant usage on schema public to %I, anon, authenticated, service_role', owner);
    execute format('alter default privileges for role %I in schema public grant all on tables to anon, authenticated, service_role', owner);
    execute format('alter default privileges for role %I in schema public grant all on functions to anon, authenticated, service_role', owner);
    execute format('alter default privileges for role %I in schema public grant all on sequences to anon, authenticated, service_role', owner);

    create function auth.jwt() returns jsonb language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                      nullif(current_setting('request.jwt.claims', true), ''))::jsonb
    $f$;
    create function auth.uid() returns uuid language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
    $f$;
    create function auth.role() returns text language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
                      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
    $f$;
  end if;
end
$$;
