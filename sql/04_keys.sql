-- odoo-to-supabase, 4: the keys. The jobs' key is stored in one place.
--
-- The vault holds it under a name of its own, and the jobs read it there at each run. The components
-- hold hashes of accepted keys, which they read here. Both change in one transaction, so no key in use
-- is stale, and a rotation needs no redeployment:
--   select odoo_sync.rotate_key();
-- People and Prometheus get keys of their own, which are shown once:
--   select odoo_sync.new_key('prometheus', 'read');

begin;

call odoo_sync.hold('odoo_sync.accepted_keys');

create table if not exists odoo_sync.accepted_keys (
  hash bytea primary key check (octet_length(hash) = 32),
  label text not null default '',
  created_at timestamptz not null default now(),
  expires_at timestamptz
);
-- Keys that are older than scopes keep all rights.
alter table odoo_sync.accepted_keys add column if not exists scope text not null default 'admin' check (scope in ('jobs', 'read', 'admin'));
alter table odoo_sync.accepted_keys add column if not exists of_jobs boolean not null default true;
comment on table odoo_sync.accepted_keys is 'Keys that the components accept, by their SHA-256: the jobs'' key itself is in the vault only, the others are nowhere.';
comment on column odoo_sync.accepted_keys.hash is 'SHA-256 of the key''s bytes.';
comment on column odoo_sync.accepted_keys.label is 'Where it came from, or what it is for.';
comment on column odoo_sync.accepted_keys.created_at is 'When it was first accepted.';
comment on column odoo_sync.accepted_keys.expires_at is 'Until when it is accepted; null: until it is replaced or its row deleted.';
comment on column odoo_sync.accepted_keys.scope is 'What it may do. jobs: call the jobs, with the bodies of odoo_sync.jobs; read: status and metrics; admin: everything.';
comment on column odoo_sync.accepted_keys.of_jobs is 'Whether the jobs call with it, or did: a rotation ends it.';
call odoo_sync.protect('odoo_sync.accepted_keys', 'select');
-- Only the components need the hashes.
drop policy if exists admins_read on odoo_sync.accepted_keys;
revoke select on odoo_sync.accepted_keys from authenticated, service_role;

-- The rule is that of the components, access::unfit_key.
create or replace function odoo_sync.unfit_key(key text) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  payload text;
  role text;
begin
  if key is null or key !~ '^[!-~]+$' then
    return 'it is empty, or holds spaces or other characters than visible ASCII';
  elsif key ~ '^sb_publishable_' then
    return 'it is the project''s publishable key, which every visitor has';
  elsif key ~ '^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$' then
    payload := translate(split_part(key, '.', 2), '-_', '+/');
    begin
      role := convert_from(decode(payload || repeat('=', (4 - length(payload) % 4) % 4), 'base64'), 'UTF8')::jsonb ->> 'role';
    exception when others then
      role := null;
    end;
    if role is distinct from 'service_role' then
      return 'it is a token for users or visitors (anon, authenticated), not for services';
    end if;
  elsif length(key) < 32 then
    return 'it is shorter than 32 characters, so that it could be guessed';
  end if;
  return null;
end
$$;
comment on function odoo_sync.unfit_key(text) is 'Why a key is no service key, such as one that is public; null where it may be one.';

-- The jobs' key as the vault holds it. For this schema's own functions only.
create or replace function odoo_sync.vault_key() returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if to_regclass('vault.decrypted_secrets') is null then
    return null;
  end if;
  return (select nullif(btrim(decrypted_secret), '') from vault.decrypted_secrets where name = 'odoo_sync_key');
exception when others then
  return null; -- vault_fault() says why
end
$$;
comment on function odoo_sync.vault_key() is 'The jobs'' key as the vault holds it; null where there is none, or it cannot be read.';

-- A vault that was restored into another project has another root key.
create or replace function odoo_sync.vault_fault() returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  ignored text;
begin
  if to_regclass('vault.decrypted_secrets') is null then
    return null;
  end if;
  select decrypted_secret into ignored from vault.decrypted_secrets where name = 'odoo_sync_key';
  return null;
exception when others then
  return sqlerrm;
end
$$;
comment on function odoo_sync.vault_fault() is 'What Postgres says if the vault cannot be read; null where it can.';

create or replace function odoo_sync.is_accepted(key text) returns boolean
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from odoo_sync.accepted_keys k
      where k.hash = sha256(convert_to(key, 'UTF8')) and (k.expires_at is null or k.expires_at > now()))
  $$;
comment on function odoo_sync.is_accepted(text) is 'Whether the components accept a key.';

create or replace function odoo_sync.random_key() returns text
  language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- Two random UUIDs have 244 random bits; hashing evens them out. No extension is needed for it.
    select 'ots_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex')
  $$;
comment on function odoo_sync.random_key() is 'A new key that nobody knows.';

drop function if exists odoo_sync.accept_key(text, text);
create or replace function odoo_sync.accept_key(key text, label text, overlap interval) returns text
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  key_hash bytea := sha256(convert_to(key, 'UTF8'));
  good_until timestamptz := now() + overlap;
  outgoing integer;
begin
  if to_regclass('vault.decrypted_secrets') is null then
    raise exception 'the vault is missing'
      using hint = 'Switch on the extension supabase_vault under Database, Extensions, and run this again.';
  end if;
  -- Concurrent rotations run one after the other.
  perform pg_advisory_xact_lock(hashtext('odoo_sync.accept_key'));

  -- The secret is created anew: a vault with another root key cannot update a secret that it cannot decrypt.
  delete from vault.secrets s where s.name = 'odoo_sync_key';
  perform vault.create_secret(key, 'odoo_sync_key', 'Key of the jobs of odoo-to-supabase: odoo_sync.rotate_key() changes it');

  update odoo_sync.accepted_keys k set expires_at = good_until
  where k.of_jobs and k.hash <> key_hash and (k.expires_at is null or k.expires_at > good_until);
  get diagnostics outgoing = row_count;
  insert into odoo_sync.accepted_keys as k (hash, label, scope, of_jobs) values (key_hash, accept_key.label, 'jobs', true)
  on conflict (hash) do update set expires_at = null, label = excluded.label, scope = excluded.scope, of_jobs = true;
  delete from odoo_sync.accepted_keys k where k.expires_at < now() - interval '1 day';

  return 'The key is in the vault; the jobs use it from their next run on.'
    || case when outgoing = 0 then ''
            when overlap > interval '0' then format(' The one before it is accepted until %s.', to_char(good_until at time zone 'UTC', 'HH24:MI:SS "UTC"'))
            else ' The one before it is accepted no more, within seconds: a call on its way may end as a 401.' end;
end
$$;
comment on function odoo_sync.accept_key(text, text, interval) is 'Puts a key of the jobs into the vault and its hash among the accepted ones. For rotate_key and set_key.';

drop function if exists odoo_sync.rotate_key();
create or replace function odoo_sync.rotate_key(now boolean default false) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  -- Calls in flight carry the old key: it stays good for ten minutes, unless it has to go at once.
  return odoo_sync.accept_key(odoo_sync.random_key(), 'rotate_key', case when rotate_key.now then interval '0' else interval '10 minutes' end);
end
$$;
comment on function odoo_sync.rotate_key(boolean) is 'Makes a new random key for the jobs. Nobody needs to see it; nothing has to be redeployed. now := true ends the old one at once.';

create or replace function odoo_sync.set_key(key text) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  trimmed text := btrim(key, E' \t\r\n');
  unfit text := odoo_sync.unfit_key(trimmed);
begin
  perform odoo_sync.require_owner();
  if unfit is not null then
    raise exception 'this is no key for a service: %', unfit
      using hint = 'Let odoo_sync.rotate_key() make one.';
  end if;
  return odoo_sync.accept_key(trimmed, 'set_key', interval '10 minutes');
end
$$;
comment on function odoo_sync.set_key(text) is 'Gives the jobs a certain key. rotate_key() is safer: nobody has seen what it makes.';

create or replace function odoo_sync.new_key(label text, scope text) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  key text := odoo_sync.random_key();
begin
  perform odoo_sync.require_owner();
  if new_key.scope is null or new_key.scope not in ('read', 'admin') then
    raise exception 'a key is for read or admin, not %', coalesce(quote_literal(new_key.scope), 'null')
      using hint = 'read: status and metrics; admin: everything. The jobs'' own comes from odoo_sync.rotate_key().';
  end if;
  insert into odoo_sync.accepted_keys (hash, label, scope, of_jobs)
  values (sha256(convert_to(key, 'UTF8')), coalesce(new_key.label, ''), new_key.scope, false);
  return key;
end
$$;
comment on function odoo_sync.new_key(text, text) is 'Makes a key for a person or a program, of scope read or admin, and shows it, this once. It ends with its row in odoo_sync.accepted_keys.';

-- A typed key would be in the editor's history and in the log of Postgres.
create or replace function odoo_sync.new_password() returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  password text := substr(odoo_sync.random_key(), 5);
begin
  perform odoo_sync.require_owner();
  execute format('alter role odoo_sync with login valid until ''infinity'' password %L', password);
  return password;
end
$$;
comment on function odoo_sync.new_password() is 'Gives the components'' role a new password, and shows it, this once: the variable db_password.';

-- Older versions called with the secret supabase_service_role_key, whoever had created it. If these files
-- created the key, it is kept under the new name; any other secret is left unchanged and is not sent any more.
create or replace function odoo_sync.move_key() returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  old_key text;
  accepted odoo_sync.accepted_keys;
begin
  if to_regclass('vault.decrypted_secrets') is null then
    return;
  elsif exists (select from vault.secrets s where s.name = 'odoo_sync_key') then
    return;
  end if;
  begin
    select btrim(s.decrypted_secret) into old_key from vault.decrypted_secrets s where s.name = 'supabase_service_role_key';
  exception when others then
    return; -- It cannot be read; health() reports that of the new one.
  end;
  select * into accepted from odoo_sync.accepted_keys k
  where k.hash = sha256(convert_to(old_key, 'UTF8')) and k.of_jobs and (k.expires_at is null or k.expires_at > now());
  if accepted.hash is null then
    return;
  end if;
  if odoo_sync.unfit_key(old_key) is not null then
    perform odoo_sync.accept_key(odoo_sync.random_key(), 'rotate_key', case when length(old_key) < 32 then interval '10 minutes' else interval '0' end);
    insert into odoo_sync.notices (words) values (format(
      'The jobs have a new key, in the vault as odoo_sync_key. The one before, supabase_service_role_key, is no key for a service: %s. It is left as it is, and not accepted any more.', odoo_sync.unfit_key(old_key)));
  elsif accepted.label = 'found in the vault' then
    -- Those who call with it go on.
    update odoo_sync.accepted_keys k set of_jobs = false where k.hash = accepted.hash;
    perform odoo_sync.accept_key(odoo_sync.random_key(), 'rotate_key', interval '10 minutes');
    insert into odoo_sync.notices (words) values (
      'The jobs have a key of their own now, in the vault as odoo_sync_key. The secret supabase_service_role_key, with which they called before, came from elsewhere: '
      'it is left as it is, and sent no more. Calls with it are still accepted; to end that: delete from odoo_sync.accepted_keys where label = ''found in the vault''.');
  else
    perform vault.create_secret(old_key, 'odoo_sync_key', 'Key of the jobs of odoo-to-supabase: odoo_sync.rotate_key() changes it');
    insert into odoo_sync.notices (words) values (
      'The key of the jobs is in the vault as odoo_sync_key from now on. The secret supabase_service_role_key, where it was, is read no more: delete it when nobody else reads it. '
      'The key dates from before there were scopes, and may do everything: select odoo_sync.rotate_key() makes one that may do nothing but run the jobs. '
      'Whatever else calls with the old one first gets a key of its own, by odoo_sync.new_key().');
  end if;
end
$$;
comment on function odoo_sync.move_key() is 'Moves the jobs'' key to its own name in the vault, once.';
select odoo_sync.move_key();

-- pg_net's queue holds each request's Authorization header in clear text until it was sent, and stock
-- grants let every role read and even rewrite the queue. What can be taken away is taken away; what a
-- caller of net.http_post needs (insert, and its own id back) stays. On hosted Supabase the tables
-- belong to the platform, and only the answer of this function is left: the jobs' key may do nothing
-- but run them.
create or replace function odoo_sync.close_net_queue() returns text
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  net_table text;
  table_owner text;
begin
  if to_regnamespace('net') is null or not has_schema_privilege('net', 'usage') or to_regclass('net.http_request_queue') is null then
    return 'pg_net is not installed, or closed to this role';
  end if;
  foreach net_table in array array['net.http_request_queue', 'net._http_response'] loop
    table_owner := (select relowner::regrole::text from pg_catalog.pg_class where oid = net_table::regclass);
    if not pg_has_role(current_user, table_owner, 'member') then
      return format('%s belongs to %s: the grants of pg_net cannot be revoked from here, so every role may read queued requests with their headers. '
        'A key of odoo_sync.rotate_key() may do nothing but run these jobs.', net_table, table_owner);
    end if;
    execute format('revoke all on %s from public, anon, authenticated', net_table);
  end loop;
  grant insert on net.http_request_queue to public;
  grant select (id) on net.http_request_queue to public;
  return 'closed: only the owner reads queued requests and their answers';
end
$$;
comment on function odoo_sync.close_net_queue() is 'Revokes what can be revoked of pg_net''s queue, where keys lie in clear text; says what could not be.';
select odoo_sync.close_net_queue();

revoke execute on all routines in schema odoo_sync from public;
revoke execute on function odoo_sync.set_key(text) from authenticated, service_role; -- which had it once
grant execute on function odoo_sync.rotate_key(boolean) to authenticated, service_role;

commit;
