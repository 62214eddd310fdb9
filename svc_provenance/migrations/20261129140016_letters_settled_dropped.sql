-- migrate:up transaction:false
DROP INDEX CONCURRENTLY dlq_messages_settled;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_settled ON dlq_messages (updated_at)
WHERE state IN ('resolved', 'discarded', 'expired');
