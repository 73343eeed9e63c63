-- The stand-in for supabase_vault: its tables, functions and grants. Secrets are not encrypted here,
-- only kept apart, as base64, so that nobody mistakes `secret` for `decrypted_secret`.

create schema vault;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default uuid_send(gen_random_uuid()),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
create unique index secrets_name_idx on vault.secrets (name) where name is not null;

-- No two secrets look alike, though they be the same.
create function vault._encrypt(secret text) returns text language sql set search_path = pg_catalog as $$
  select encode(uuid_send(gen_random_uuid()) || convert_to(secret, 'utf8'), 'base64')
$$;

-- What was encrypted with another root key, as after a restore into another project, is an error to read.
create function vault._decrypt(secret text) returns text language plpgsql immutable as $$
begin
  if secret like 'of another root key: %' then
    raise data_exception using message = 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext';
  end if;
  return convert_from(substr(decode(secret, 'base64'), 17), 'utf8');
end
$$;

create view vault.decrypted_secrets as
  select id, name, description, secret, vault._decrypt(secret) as decrypted_secret,
         key_id, nonce, created_at, updated_at
  from vault.secrets;

create function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
) returns uuid language sql security definer set search_path = '' as $$
  insert into vault.secrets (secret, name, description)
  values (vault._encrypt($1), $2, $3)
  returning id
$$;

-- The real one too decrypts the old value first, and so fails where it cannot.
create function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null, new_description text default null,
  new_key_id uuid default null
) returns void language plpgsql security definer set search_path = '' as $$
declare
  decrypted_secret text := (select s.decrypted_secret from vault.decrypted_secrets s where s.id = secret_id);
begin
  update vault.secrets
  set secret = coalesce(vault._encrypt($2), secret),
      name = coalesce($3, name), description = coalesce($4, description), updated_at = pg_catalog.now()
  where id = $1;
end
$$;

revoke all on all functions in schema vault from public;
do $$
declare
  grantee text;
begin
  foreach grantee in array array[current_setting('world.owner'), 'service_role'] loop
    execute format('grant usage on schema vault to %I', grantee);
    execute format('grant select, delete on vault.secrets, vault.decrypted_secrets to %I', grantee);
    execute format('grant execute on all functions in schema vault to %I', grantee);
  end loop;
end
$$;
