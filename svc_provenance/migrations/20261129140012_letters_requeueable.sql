-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_requeueable ON dlq_messages (tenant_id, created_at, dlq_id)
WHERE cause <> 'malformed' AND state IN ('waiting', 'blocked', 'exhausted', 'expired');

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY dlq_messages_requeueable;
