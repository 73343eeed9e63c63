-- The next rows of a table that something refers to and that are still to be read.
select coalesce(jsonb_agg(w.id order by w.id), '[]')
  from (select t.id from {table} t where t.row_hash is null and t.deleted_at is null and t.id > ($1::jsonb->>'after_id')::bigint
           and not exists (select from odoo_sync.unreadable u where u.model = $1::jsonb->>'model' and u.id = t.id
                              and u.hidden and u.seen_at > now() - interval '20 hours')
         order by t.id limit ($1::jsonb->>'limit')::int) w
