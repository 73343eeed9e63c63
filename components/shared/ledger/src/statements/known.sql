-- The next ids of a table.
select coalesce(jsonb_agg(k.id order by k.id), '[]')
  from (select t.id from {table} t where t.id > ($1::jsonb->>'after_id')::bigint
         order by t.id limit ($1::jsonb->>'limit')::int) k
