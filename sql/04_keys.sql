-- odoo-to-supabase, 4 of 10: the service key, which lives in one place.
--
-- The vault holds the key, and cron commands read it there at each run. The components hold hashes
-- of accepted keys, which they read here. Both change in one transaction, so no key in use is stale,
-- and a rotation needs no redeployment:
--   select odoo_sync.rotate_key();

begin;

create table if not exists odoo_sync.accepted_keys (
  hash bytea primary key check (octet_length(hash) = 32),
  label text not null default '',
  created_at timestamptz not null default now(),
  expires_at timestamptz
);
comment on table odoo_sync.accepted_keys is 'Keys that the components accept, by their SHA-256: the keys themselves are in the vault only.';
comment on column odoo_sync.accepted_keys.hash is 'SHA-256 of the key''s bytes.';
comment on column odoo_sync.accepted_keys.label is 'Where it came from.';
comment on column odoo_sync.accepted_keys.created_at is 'When it was first accepted.';
comment on column odoo_sync.accepted_keys.expires_at is 'Until when it is accepted; null: until it is replaced.';
call odoo_sync.protect('odoo_sync.accepted_keys', 'select');
-- Nobody else has a use for hashes.
drop policy if exists admins_read on odoo_sync.accepted_keys;
revoke select on odoo_sync.accepted_keys from authenticated, service_role;

-- The key in the vault, or null. For this schema's own functions only.
create or replace function odoo_sync.vault_key() returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if to_regclass('vault.decrypted_secrets') is null then
    return null;
  end if;
  return (select nullif(btrim(decrypted_secret), '') from vault.decrypted_secrets where name = 'supabase_service_role_key');
end
$$;
comment on function odoo_sync.vault_key() is 'The service key as the vault holds it; null where there is none.';

create or replace function odoo_sync.accept_key(key text, label text) returns text
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  key_hash bytea := sha256(convert_to(key, 'UTF8'));
  secret_id uuid;
  good_until timestamptz := now() + interval '10 minutes';
  outgoing integer;
  previous text := odoo_sync.vault_key();
  foreign_secret boolean := previous <> key
    and not exists (select from odoo_sync.accepted_keys k where k.hash = sha256(convert_to(previous, 'UTF8')));
begin
  if to_regclass('vault.decrypted_secrets') is null then
    raise exception 'the vault is missing'
      using hint = 'Switch on the extension supabase_vault under Database, Extensions, and run this again.';
  end if;
  -- Two rotations at once take turns.
  perform pg_advisory_xact_lock(hashtext('odoo_sync.accept_key'));

  select s.id into secret_id from vault.secrets s where s.name = 'supabase_service_role_key';
  if secret_id is null then
    perform vault.create_secret(key, 'supabase_service_role_key', 'Service key of odoo-to-supabase; set by odoo_sync.rotate_key() or set_key()');
  else
    perform vault.update_secret(secret_id, key);
  end if;

  -- Calls in flight carry the old key: it stays good for ten minutes.
  update odoo_sync.accepted_keys k set expires_at = good_until
  where k.hash <> key_hash and (k.expires_at is null or k.expires_at > good_until);
  get diagnostics outgoing = row_count;
  insert into odoo_sync.accepted_keys as k (hash, label) values (key_hash, accept_key.label)
  on conflict (hash) do update set expires_at = null, label = excluded.label;
  delete from odoo_sync.accepted_keys k where k.expires_at < now() - interval '1 day';

  return 'The key is in the vault; scheduled jobs use it from their next run on.'
    || case when outgoing > 0 then format(' The one before it is accepted until %s.', to_char(good_until at time zone 'UTC', 'HH24:MI:SS "UTC"')) else '' end
    || case when foreign_secret then ' The secret that was there came from elsewhere and is gone: whoever else reads supabase_service_role_key from the vault needs another one.' else '' end;
end
$$;
comment on function odoo_sync.accept_key(text, text) is 'Puts a key into the vault and its hash among the accepted ones. For rotate_key and set_key.';

create or replace function odoo_sync.rotate_key() returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  -- Two random UUIDs have 244 random bits; hashing evens them out. No extension is needed for it.
  return odoo_sync.accept_key(
    'ots_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 'rotate_key');
end
$$;
comment on function odoo_sync.rotate_key() is 'Makes a new random service key. Nobody needs to see it; nothing has to be redeployed.';

create or replace function odoo_sync.set_key(key text) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  trimmed text := btrim(key, E' \t\r\n');
begin
  perform odoo_sync.require_admin();
  if coalesce(length(trimmed), 0) < 20 or trimmed !~ '^[!-~]+$' then
    raise exception 'this is no key: at least 20 visible ASCII characters, without spaces'
      using hint = 'Or let odoo_sync.rotate_key() make one.';
  end if;
  return odoo_sync.accept_key(trimmed, 'set_key');
end
$$;
comment on function odoo_sync.set_key(text) is 'Uses a given service key, such as Supabase''s service role key. rotate_key() is safer: its key can do nothing but trigger these jobs.';

-- pg_net's queue holds each request's Authorization header in clear text until it was sent, and stock
-- grants let every role read and even rewrite the queue. What can be taken away is taken away; what a
-- caller of net.http_post needs (insert, and its own id back) stays. On hosted Supabase the tables
-- belong to the platform, and only the answer of this function is left: use rotate_key().
create or replace function odoo_sync.close_net_queue() returns text
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  net_table text;
  table_owner text;
begin
  if to_regclass('net.http_request_queue') is null then
    return 'pg_net is not installed';
  end if;
  foreach net_table in array array['net.http_request_queue', 'net._http_response'] loop
    table_owner := (select relowner::regrole::text from pg_catalog.pg_class where oid = net_table::regclass);
    if not pg_has_role(current_user, table_owner, 'member') then
      return format('%s belongs to %s: the grants of pg_net cannot be revoked from here, so every role may read queued requests with their headers. '
        'Use odoo_sync.rotate_key(), whose keys can do nothing but trigger these jobs.', net_table, table_owner);
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
grant execute on function odoo_sync.rotate_key(), odoo_sync.set_key(text) to authenticated, service_role;

commit;
