-- migrate:up transaction:false
ALTER TABLE trace_facts VALIDATE CONSTRAINT trace_facts_kind_check;

-- migrate:down transaction:false
SELECT 1;
