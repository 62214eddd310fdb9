-- migrate:up transaction:false
DROP INDEX CONCURRENTLY dlq_messages_overdue;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_overdue ON dlq_messages (requeue_at) WHERE state IN ('waiting', 'blocked');
