-- odoo-to-supabase, 3: queue and catalogue of Odoo's attachments in one table, and its progress counters.

begin;

call odoo_sync.hold('public.odoo_attachments', 'odoo_sync.progress');

create table if not exists public.odoo_attachments (
  id              bigint primary key,
  name            text not null default '',
  mimetype        text,
  file_size       bigint not null default 0 check (file_size >= 0),
  checksum        text,
  kind            text not null default 'binary',
  url             text,
  res_model       text,
  res_field       text,
  res_id          bigint,
  company_id      bigint,
  create_date     timestamptz,
  write_date      timestamptz,
  state           text not null default 'pending'
                  check (state in ('pending', 'moved', 'skipped', 'dead')),
  reason          text,
  message         text,
  blame           text,
  attempts        smallint not null default 0 check (attempts >= 0),
  interruptions   smallint not null default 0 check (interruptions >= 0),
  next_attempt_at timestamptz not null default now(),
  lease_id        uuid,
  leased_until    timestamptz,
  upload          jsonb,
  object_path     text,
  moved_at        timestamptz,
  failed_at       timestamptz,
  etag            text,
  discovered_at   timestamptz not null default now(),
  missing_since   timestamptz,
  deleted_at      timestamptz
);
alter table public.odoo_attachments add column if not exists lost_at timestamptz;

comment on table public.odoo_attachments is
  'Every attachment that was found in Odoo: what it is, where its bytes are, and what still has to be done. Written by archive-batch.';
comment on column public.odoo_attachments.id is 'Odoo''s ir.attachment id.';
comment on column public.odoo_attachments.name is 'File name as Odoo has it. The object is named by its content; put this name into the signed address (download=…).';
comment on column public.odoo_attachments.mimetype is 'MIME type as Odoo has it.';
comment on column public.odoo_attachments.file_size is 'Length in bytes as Odoo says.';
comment on column public.odoo_attachments.checksum is 'SHA-1 of the content in hex as Odoo says; null for an empty file and for kinds without content.';
comment on column public.odoo_attachments.kind is 'Odoo''s type: binary, url, or (from 18) cloud_storage.';
comment on column public.odoo_attachments.url is 'For kind url: where it points.';
comment on column public.odoo_attachments.res_model is 'Model of the record it hangs on, such as crm.lead; 200 characters of it at most.';
comment on column public.odoo_attachments.res_field is 'Field of that record that it is the value of; null for a real attachment.';
comment on column public.odoo_attachments.res_id is 'Id of the record it hangs on.';
comment on column public.odoo_attachments.company_id is 'Company, in Odoo''s ids.';
comment on column public.odoo_attachments.create_date is 'When it was made in Odoo.';
comment on column public.odoo_attachments.write_date is 'When its row was last written in Odoo (to the second). No version of the content: compare checksums.';
comment on column public.odoo_attachments.state is 'pending: to be moved; moved: bytes verified and confirmed by Storage; skipped: nothing to move, see reason; dead: out of attempts, see reason and message, retry with odoo_sync.retry().';
comment on column public.odoo_attachments.reason is 'Why it is skipped, or the kind of its last failure.';
comment on column public.odoo_attachments.message is 'The last failure in words.';
comment on column public.odoo_attachments.blame is 'Whose fault the last failure was: source, destination, configuration, program.';
comment on column public.odoo_attachments.attempts is 'Failed attempts so far; at 8 it is dead.';
comment on column public.odoo_attachments.interruptions is 'How often a run ended without a report while it had claimed this file.';
comment on column public.odoo_attachments.next_attempt_at is 'Not before this moment. A claim moves it to the end of its lease.';
comment on column public.odoo_attachments.lease_id is 'The claim that works on it now; only this claim may complete it.';
comment on column public.odoo_attachments.leased_until is 'When that claim ends by itself.';
comment on column public.odoo_attachments.upload is 'A large upload that goes on in the next tick: address, offset and hash so far.';
comment on column public.odoo_attachments.object_path is 'Path of the object in the bucket: sha1[0..2]/sha1.';
comment on column public.odoo_attachments.moved_at is 'When Storage had confirmed it.';
comment on column public.odoo_attachments.failed_at is 'When it last failed.';
comment on column public.odoo_attachments.etag is 'The object''s etag in Storage when it was first verified; another one later means that the object was changed there.';
comment on column public.odoo_attachments.missing_since is 'When a sweep under way missed it in Odoo''s list. It becomes deleted_at at the sweep''s end, unless the sweep missed suspiciously many.';
comment on column public.odoo_attachments.discovered_at is 'When it was first found in Odoo.';
comment on column public.odoo_attachments.lost_at is 'When a verification last found that the object of this moved file, or its bytes, are missing or others; null once it was moved again, or its bytes were read and are right.';
comment on column public.odoo_attachments.deleted_at is 'When it was found to be gone from Odoo. Row and object are kept.';

-- The queue. It holds only what is still to be done, so it is small whatever the catalogue's size.
create index if not exists odoo_attachments_queue
  on public.odoo_attachments (next_attempt_at, id) where state = 'pending';
-- Finds identical content, which is moved once, and gives moved files in the order in which they are verified.
create index if not exists odoo_attachments_objects
  on public.odoo_attachments (checksum, id) where state = 'moved';
drop index if exists public.odoo_attachments_content;
create index if not exists odoo_attachments_dead
  on public.odoo_attachments (failed_at desc) where state = 'dead';
create index if not exists odoo_attachments_failing
  on public.odoo_attachments (failed_at desc) where state = 'pending' and attempts > 0;
create index if not exists odoo_attachments_waiting
  on public.odoo_attachments (reason, file_size) where state = 'skipped' and reason in ('needs_password', 'over_size_limit');
drop index if exists public.odoo_attachments_needs_password;
-- Files that wait for a person, in the order in which they are listed.
create index if not exists odoo_attachments_for_people
  on public.odoo_attachments (id) where state = 'dead' or state = 'skipped' and reason in ('needs_password', 'over_size_limit');
create index if not exists odoo_attachments_missing
  on public.odoo_attachments (id) where missing_since is not null;
create index if not exists odoo_attachments_lost
  on public.odoo_attachments (id) where lost_at is not null;
create index if not exists odoo_attachments_record
  on public.odoo_attachments (res_model, res_id);

-- A file changes its row two or three times on its way. At the default, a queue of a million files would hold 200,000 dead rows
-- before they are cleared away, and each claim goes through them.
alter table public.odoo_attachments
  set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0.02);

-- Progress is kept by the statements that change it: no tick and no status request counts the table.
create table if not exists odoo_sync.progress (
  bucket text primary key,
  files  bigint not null default 0,
  bytes  bigint not null default 0
);
comment on table odoo_sync.progress is 'How many attachments are in which state; kept by triggers, checked by odoo_sync.recount().';
comment on column odoo_sync.progress.bucket is 'pending, failed (pending after a failure), dead, moved, skipped, or waiting (for a password or a higher limit).';
comment on column odoo_sync.progress.files is 'Attachments.';
comment on column odoo_sync.progress.bytes is 'Their bytes, as Odoo says.';

create or replace function odoo_sync.bucket(state text, attempts smallint) returns text
  language sql immutable parallel safe set search_path = pg_catalog, pg_temp
  as $$ select case when state = 'pending' and attempts > 0 then 'failed' else state end $$;
comment on function odoo_sync.bucket(text, smallint) is 'The same, of one that waits for no setting.';

create or replace function odoo_sync.bucket(state text, attempts smallint, reason text) returns text
  language sql immutable parallel safe set search_path = pg_catalog, pg_temp
  as $$
    select case when state = 'pending' and attempts > 0 then 'failed'
                when state = 'skipped' and reason in ('needs_password', 'over_size_limit') then 'waiting' else state end
  $$;
comment on function odoo_sync.bucket(text, smallint, text) is 'Under which heading of odoo_sync.progress an attachment counts.';

create or replace function odoo_sync.count_attachments() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- The branches differ in the transition tables that exist; the order keeps parallel runs from deadlock.
  if tg_op = 'INSERT' then
    insert into odoo_sync.progress as p (bucket, files, bytes)
    select odoo_sync.bucket(n.state, n.attempts, n.reason) as bucket, count(*), coalesce(sum(n.file_size), 0)
      from new_rows n group by 1 order by 1
    on conflict (bucket) do update set files = p.files + excluded.files, bytes = p.bytes + excluded.bytes;
  elsif tg_op = 'DELETE' then
    insert into odoo_sync.progress as p (bucket, files, bytes)
    select odoo_sync.bucket(o.state, o.attempts, o.reason) as bucket, -count(*), -coalesce(sum(o.file_size), 0)
      from old_rows o group by 1 order by 1
    on conflict (bucket) do update set files = p.files + excluded.files, bytes = p.bytes + excluded.bytes;
  else
    insert into odoo_sync.progress as p (bucket, files, bytes)
    select d.bucket, sum(d.files), sum(d.bytes)
      from (select odoo_sync.bucket(n.state, n.attempts, n.reason) as bucket, 1 as files, n.file_size as bytes from new_rows n
            union all
            select odoo_sync.bucket(o.state, o.attempts, o.reason), -1, -o.file_size from old_rows o) d
     group by d.bucket having sum(d.files) <> 0 or sum(d.bytes) <> 0 order by d.bucket
    on conflict (bucket) do update set files = p.files + excluded.files, bytes = p.bytes + excluded.bytes;
  end if;
  return null;
end $$;
comment on function odoo_sync.count_attachments() is 'Keeps odoo_sync.progress in step with public.odoo_attachments.';

create or replace trigger count_inserted after insert on public.odoo_attachments
  referencing new table as new_rows for each statement execute function odoo_sync.count_attachments();
create or replace trigger count_updated after update on public.odoo_attachments
  referencing old table as old_rows new table as new_rows for each statement execute function odoo_sync.count_attachments();
create or replace trigger count_deleted after delete on public.odoo_attachments
  referencing old table as old_rows for each statement execute function odoo_sync.count_attachments();

-- Files that wait were counted as skipped before.
with waiting as (
  select count(*) as files, coalesce(sum(a.file_size), 0)::bigint as bytes from public.odoo_attachments a
   where a.state = 'skipped' and a.reason in ('needs_password', 'over_size_limit')
), counted as (
  insert into odoo_sync.progress (bucket, files, bytes) select 'waiting', w.files, w.bytes from waiting w
  on conflict (bucket) do nothing
  returning files, bytes
)
update odoo_sync.progress p set files = p.files - c.files, bytes = p.bytes - c.bytes from counted c where p.bucket = 'skipped';

-- What is still to be done, and the figures that a log row carries.
create or replace function odoo_sync.remaining() returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
  as $$ select coalesce(sum(files), 0)::bigint from odoo_sync.progress where bucket in ('pending', 'failed') $$;
comment on function odoo_sync.remaining() is 'How many attachments are still to be moved; what waits for a setting stands beside it, in odoo_sync.waiting().';

create or replace function odoo_sync.waiting() returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
  as $$ select coalesce(sum(files), 0)::bigint from odoo_sync.progress where bucket = 'waiting' $$;
comment on function odoo_sync.waiting() is 'How many attachments wait for a setting: a password, or a higher limit.';

-- Counts the table itself and mends the counters; a row where they differed.
create or replace function odoo_sync.recount()
  returns table (bucket text, files_before bigint, files bigint, bytes_before bigint, bytes bigint)
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  -- No row may change between the count and the correction.
  lock table public.odoo_attachments in share row exclusive mode;
  return query
  with counted as (
    select odoo_sync.bucket(a.state, a.attempts, a.reason) as bucket, count(*) as files, coalesce(sum(a.file_size), 0)::bigint as bytes
      from public.odoo_attachments a group by 1
  ), compared as (
    select coalesce(c.bucket, p.bucket) as bucket,
           coalesce(p.files, 0) as files_before, coalesce(c.files, 0) as files,
           coalesce(p.bytes, 0) as bytes_before, coalesce(c.bytes, 0) as bytes
      from counted c full join odoo_sync.progress p on p.bucket = c.bucket
  ), mended as (
    insert into odoo_sync.progress as p (bucket, files, bytes)
    select d.bucket, d.files, d.bytes from compared d
     where d.files <> d.files_before or d.bytes <> d.bytes_before
    on conflict on constraint progress_pkey do update set files = excluded.files, bytes = excluded.bytes
    returning p.bucket
  )
  select d.bucket, d.files_before, d.files, d.bytes_before, d.bytes
    from compared d join mended m on m.bucket = d.bucket order by 1;
end $$;
comment on function odoo_sync.recount() is 'Recounts the attachments, mends odoo_sync.progress, and returns the figures that differed (none, as it should be).';

-- Gives dead files (all of them, or those named) a new life, and those that waited for a setting.
create or replace function odoo_sync.retry(ids bigint[] default null) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare revived bigint;
begin
  perform odoo_sync.require_admin();
  update public.odoo_attachments a
     set state = 'pending', attempts = 0, interruptions = 0, next_attempt_at = now(), upload = null
   where (a.state = 'dead' or (a.state = 'skipped' and a.reason in ('needs_password', 'over_size_limit')))
     and a.deleted_at is null and (ids is null or a.id = any (ids));
  get diagnostics revived = row_count;
  return revived;
end $$;
comment on function odoo_sync.retry(bigint[]) is 'Puts dead attachments, and large ones that wait for odoo_password or a higher limit (all, or the ids given), back into the queue; returns how many.';

call odoo_sync.protect('public.odoo_attachments', 'select, insert, update');
call odoo_sync.protect('odoo_sync.progress', 'select');

revoke all on function odoo_sync.count_attachments(), odoo_sync.recount(), odoo_sync.retry(bigint[]) from public;
revoke all on function odoo_sync.remaining(), odoo_sync.waiting(), odoo_sync.bucket(text, smallint, text) from public;
grant execute on function odoo_sync.remaining(), odoo_sync.waiting(), odoo_sync.bucket(text, smallint, text), odoo_sync.recount(), odoo_sync.retry(bigint[]), odoo_sync.bucket(text, smallint)
  to odoo_sync, authenticated, service_role;

commit;
