-- migrate:up
-- An event that was requeued from a dead letter: which group alone applies it, and which letter it comes from.
ALTER TABLE outbox
    ADD COLUMN consumer_group text NOT NULL DEFAULT '',
    ADD COLUMN dlq_id text NOT NULL DEFAULT '';

-- migrate:down
ALTER TABLE outbox
    DROP COLUMN dlq_id,
    DROP COLUMN consumer_group;
