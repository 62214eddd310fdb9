-- migrate:up
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    tenant_id text NOT NULL,
    type text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    occurred_at timestamptz NOT NULL,
    payload bytea NOT NULL,
    schema_version integer NOT NULL,
    causation_id text NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY outbox_tenant ON outbox USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_TABLE_SCHEMA || '.outbox', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER outbox_notify AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify();

-- The bus that events were sent to: when it lost its memory, its epoch differs and they are sent again.
CREATE TABLE outbox_bus (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch text NOT NULL
);

CREATE TABLE inbox (
    consumer_group text NOT NULL,
    event_id text NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer_group, event_id)
);
CREATE INDEX inbox_handled ON inbox (handled_at);

CREATE TABLE stream_cursors (
    consumer_group text NOT NULL,
    stream text NOT NULL,
    epoch text NOT NULL,
    position text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer_group, stream)
);

-- migrate:down
DROP TABLE stream_cursors;
DROP TABLE inbox;
DROP TABLE outbox_bus;
DROP TABLE outbox;
DROP FUNCTION outbox_notify();
