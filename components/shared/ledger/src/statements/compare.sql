-- Compares a range of Odoo's list with the table.
with run as (
  update odoo_sync.runs r
     set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
   where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
  returning r.id
), listed as (
  select l.id, l.write_date from jsonb_to_recordset($1::jsonb->'listed') as l (id bigint, write_date timestamptz)
), seen_again as (
  delete from odoo_sync.unreadable u using run, listed l
   where u.model = $1::jsonb->>'model' and u.hidden and u.id = l.id
  returning 1
), here as (
  select t.id, t.write_date from {table} t
   where t.{range} > ($1::jsonb->>'after_id')::bigint
     and t.{range} <= coalesce(($1::jsonb->>'up_to_id')::bigint, 9223372036854775807)
     and t.deleted_at is null and t.row_hash is not null /*if shared*/ and t.model = $1::jsonb->>'model' /*end*/
), compared as (
  select coalesce(l.id, h.id) as id,
         case when h.id is null then 'missing' when l.id is null then 'extra'
              when l.write_date is distinct from h.write_date then 'stale' end as what,
         coalesce(l.write_date > ($1::jsonb->>'written')::timestamptz, false) as later
    from listed l full join here h on h.id = l.id
)
select jsonb_build_object(
  'here', (select count(*) from here),
  'later', count(*) filter (where c.later and c.what in ('missing', 'stale')),
  'missing', coalesce(jsonb_agg(c.id order by c.id) filter (where c.what = 'missing' and not c.later), '[]'),
  'stale', coalesce(jsonb_agg(c.id order by c.id) filter (where c.what = 'stale' and not c.later), '[]'),
  'extra', coalesce(jsonb_agg(c.id order by c.id) filter (where c.what = 'extra'), '[]'))
  from run left join compared c on true
 where (select count(*) from seen_again) >= 0
 group by run.id
