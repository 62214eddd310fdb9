-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_unsettled ON dlq_messages (updated_at)
WHERE state IN ('waiting', 'blocked', 'requeued', 'exhausted');

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY dlq_messages_unsettled;
