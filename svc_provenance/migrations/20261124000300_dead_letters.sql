-- migrate:up
ALTER TABLE dlq_messages RENAME COLUMN cause TO detail;
ALTER TABLE dlq_messages RENAME COLUMN payload TO value;
ALTER TABLE dlq_messages
    ADD COLUMN consumer_group text NOT NULL DEFAULT 'provenance',
    ADD COLUMN cause text NOT NULL DEFAULT 'failed' CHECK (cause IN ('malformed', 'failed', 'policy', 'timeout')),
    ADD COLUMN state text NOT NULL DEFAULT 'exhausted' CHECK (
        state IN ('waiting', 'blocked', 'requeued', 'resolved', 'exhausted', 'discarded', 'expired')
    ),
    ADD COLUMN requeues integer NOT NULL DEFAULT 0,
    ADD COLUMN correlation_id text NOT NULL DEFAULT '',
    ADD COLUMN trace_id text NOT NULL DEFAULT '',
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN sent_id text NOT NULL DEFAULT '',
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN requeue_at timestamptz,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN news bigint NOT NULL DEFAULT 1,
    ADD COLUMN followed bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN dlq_messages.value IS 'The event as it was on the bus.';
COMMENT ON COLUMN dlq_messages.sent_id IS 'Id of the event that the last requeue sent.';
COMMENT ON COLUMN dlq_messages.news IS 'Grows with every change; the workflow of the letter was told of those up to followed.';
UPDATE dlq_messages SET followed = news;
DROP INDEX dlq_messages_topic;
CREATE INDEX dlq_messages_newest ON dlq_messages (tenant_id, created_at DESC, dlq_id DESC);
CREATE INDEX dlq_messages_news ON dlq_messages (updated_at) WHERE followed < news;
CREATE INDEX dlq_messages_settled ON dlq_messages (updated_at) WHERE state IN ('resolved', 'discarded', 'expired');

CREATE FUNCTION dlq_news() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_TABLE_SCHEMA || '.dead_letters', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER dlq_news AFTER INSERT OR UPDATE OF news ON dlq_messages
    FOR EACH STATEMENT EXECUTE FUNCTION dlq_news();

-- migrate:down
DROP TRIGGER dlq_news ON dlq_messages;
DROP FUNCTION dlq_news();
DROP INDEX dlq_messages_settled;
DROP INDEX dlq_messages_news;
DROP INDEX dlq_messages_newest;
ALTER TABLE dlq_messages
    DROP COLUMN followed,
    DROP COLUMN news,
    DROP COLUMN expires_at,
    DROP COLUMN requeue_at,
    DROP COLUMN updated_at,
    DROP COLUMN sent_id,
    DROP COLUMN reason,
    DROP COLUMN trace_id,
    DROP COLUMN correlation_id,
    DROP COLUMN requeues,
    DROP COLUMN state,
    DROP COLUMN cause,
    DROP COLUMN consumer_group;
ALTER TABLE dlq_messages RENAME COLUMN value TO payload;
ALTER TABLE dlq_messages RENAME COLUMN detail TO cause;
CREATE INDEX dlq_messages_topic ON dlq_messages (tenant_id, topic, created_at);
