-- Adds records, or fields of them, to the list of what cannot be read.
with run as (
  select r.id, r.job from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
), noted as (
  insert into odoo_sync.unreadable as u (model, id, job, fields, said, hidden)
  select $1::jsonb->>'model', n.id, run.job, coalesce(array_agg(distinct f.name) filter (where f.name is not null), '{}'),
         min(n.said), coalesce(bool_or(n.hidden), false)
    from run
   cross join jsonb_to_recordset($1::jsonb->'unreadable') as n (id bigint, fields text[], said text, hidden boolean)
    left join lateral unnest(n.fields) as f (name) on true
   group by n.id, run.job
   order by n.id
  on conflict (model, id) do update
     set job = excluded.job, fields = excluded.fields, said = excluded.said, hidden = excluded.hidden, tries = u.tries + 1, seen_at = now()
  returning u.tries = 1 as new
)
select to_jsonb(count(*) filter (where n.new)) from noted n
