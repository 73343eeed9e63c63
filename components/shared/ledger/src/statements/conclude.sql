-- Ends a validation: marks rows that are gone from Odoo, logs the result, and moves the cursor.
with run as (
  update odoo_sync.runs r
     set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
   where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
  returning r.id
), gone as (
  update {table} t set deleted_at = now(), synced_at = now()
    from run
   where t.id in (select jsonb_array_elements_text($1::jsonb->'gone')::bigint) /*if shared*/ and t.model = $1::jsonb->>'model' /*end*/
     and t.deleted_at is null
  returning 1
), logged as (
  insert into public.sync_validation_log
         (run_id, entity, source_count, destination_count, missing, extra, stale, verdict, detail)
  select run.id, v.entity, v.source_count, v.destination_count, v.missing, v.extra, v.stale, v.verdict, v.detail
    from run, jsonb_to_record($1::jsonb->'validation') as v (
      entity text, source_count bigint, destination_count bigint, missing bigint, extra bigint, stale bigint,
      verdict text, detail jsonb)
  returning 1
), moved_on as (
  insert into odoo_sync.cursors as c (name, position, updated_at)
  select $1::jsonb->>'cursor', $1::jsonb->'position', now() from run
  on conflict (name) do update set position = excluded.position, updated_at = now()
  returning 1
)
select to_jsonb((select count(*) from gone)) from run
 where (select count(*) from logged) + (select count(*) from moved_on) >= 0
