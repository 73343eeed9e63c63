-- Claims these files, due or not. `claim_due.sql` says why `stored` is a scalar subquery.
with run as (
  select r.id, make_interval(secs => ($1::jsonb->>'lease_s')::float8) as lease
    from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
), taken as (
  select a.id from public.odoo_attachments a
   where a.id in (select jsonb_array_elements_text($1::jsonb->'ids')::bigint)
     and a.state in ('pending', 'dead') and a.deleted_at is null
     and (a.lease_id is null or a.leased_until < now())
   order by a.id
   limit ($1::jsonb->>'limit')::int
     for update skip locked
), claimed as (
  update public.odoo_attachments a
     set state = 'pending', attempts = case when a.state = 'dead' then 0 else a.attempts end,
         lease_id = run.id, leased_until = now() + run.lease, next_attempt_at = now() + run.lease,
         interruptions = a.interruptions + (a.lease_id is not null)::int
    from taken, run where a.id = taken.id
  returning a.id, left(a.name, 200) as name, a.mimetype, a.file_size, a.checksum, a.attempts, a.interruptions, a.upload,
            a.lost_at is not null as lost
)
select coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('stored', (
         select true from public.odoo_attachments m
          where m.state = 'moved' and m.checksum = c.checksum and m.file_size = c.file_size limit 1) is not null)
         order by c.id), '[]')::text
  from claimed c
