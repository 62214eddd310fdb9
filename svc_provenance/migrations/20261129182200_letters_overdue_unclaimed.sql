-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_overdue_unclaimed ON dlq_messages (greatest(requeue_at, claimed_until))
WHERE state IN ('waiting', 'blocked');

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY dlq_messages_overdue_unclaimed;
