-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_by_state ON dlq_messages (state) INCLUDE (tenant_id);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY dlq_messages_by_state;
