-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_correlated
    ON dlq_messages (tenant_id, correlation_id, created_at DESC, dlq_id DESC);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY dlq_messages_correlated;
