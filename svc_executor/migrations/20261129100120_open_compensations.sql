-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY compensations_open ON compensations (updated_at) WHERE NOT done;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY compensations_open;
