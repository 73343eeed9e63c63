-- The next messages whose field changes are still to be read.
select coalesce(jsonb_agg(w.id order by w.id), '[]')
  from (select a.message_id as id from odoo_sync.wanted_changes a where a.message_id > ($1::jsonb->>'after_id')::bigint
         order by 1 limit ($1::jsonb->>'limit')::int) w
