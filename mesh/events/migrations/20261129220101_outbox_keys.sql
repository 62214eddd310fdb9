-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY outbox_keys ON outbox (topic, key, id) WHERE sent_at IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY outbox_keys;
