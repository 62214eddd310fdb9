-- migrate:up transaction:false
DROP INDEX CONCURRENTLY dlq_messages_state;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_state ON dlq_messages (state);
