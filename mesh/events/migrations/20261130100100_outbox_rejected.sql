-- migrate:up
-- Events whose record the bus rejects because of its size: set aside, so that others need not wait behind them. When the
-- limit of the topic was raised (Kafka: max.message.bytes), they are put back with
--     WITH again AS (DELETE FROM outbox_rejected RETURNING *)
--     INSERT INTO outbox (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
--                         correlation_id, traceparent, consumer_group, dlq_id)
--     SELECT event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id, correlation_id,
--            traceparent, consumer_group, dlq_id FROM again ORDER BY id;
CREATE TABLE outbox_rejected (
    id bigint PRIMARY KEY,
    event_id uuid NOT NULL,
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
    consumer_group text NOT NULL,
    dlq_id text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE outbox_rejected ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox_rejected FORCE ROW LEVEL SECURITY;
CREATE POLICY outbox_rejected_tenant ON outbox_rejected
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- migrate:down
DROP TABLE outbox_rejected;
