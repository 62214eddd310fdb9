-- migrate:up
CREATE TABLE trace_facts (
    tenant_id   text NOT NULL,
    job_id      text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('selection', 'execution', 'evaluation', 'asset', 'job')),
    fact_id     text NOT NULL,
    occurred_at timestamptz NOT NULL,
    summary     jsonb NOT NULL,
    document    bytea NOT NULL,
    PRIMARY KEY (tenant_id, job_id, kind, fact_id)
);
COMMENT ON COLUMN trace_facts.document IS 'The message of the fact, redacted.';
ALTER TABLE trace_facts ENABLE ROW LEVEL SECURITY;
ALTER TABLE trace_facts FORCE ROW LEVEL SECURITY;
CREATE POLICY trace_facts_tenant ON trace_facts USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE asset_provenance (
    asset_id          uuid PRIMARY KEY,
    tenant_id         text NOT NULL,
    asset_type        text,
    media_type        text,
    checksum          text,
    created_at        timestamptz,
    request_id        text,
    step_id           text,
    execution_id      text,
    attempt           integer,
    selection_id      text,
    capability_id     text,
    model             text,
    user_id           text,
    generation_params jsonb,
    prompt_summary    text,
    parent_ids        text[],
    evaluation_id     text,
    passes            boolean,
    quality_score     double precision,
    cost_micro_usd    bigint,
    latency_ms        bigint,
    trace_id          text,
    redactions        jsonb,
    deleted_at        timestamptz
);
COMMENT ON COLUMN asset_provenance.request_id IS 'The job.';
CREATE INDEX asset_provenance_execution ON asset_provenance (tenant_id, execution_id);
ALTER TABLE asset_provenance ENABLE ROW LEVEL SECURITY;
ALTER TABLE asset_provenance FORCE ROW LEVEL SECURITY;
CREATE POLICY asset_provenance_tenant ON asset_provenance
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE dlq_messages (
    dlq_id     uuid PRIMARY KEY,
    tenant_id  text NOT NULL,
    topic      text NOT NULL,
    key        text NOT NULL,
    event_id   text NOT NULL,
    event_type text NOT NULL,
    cause      text NOT NULL,
    attempts   integer NOT NULL,
    payload    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dlq_messages_topic ON dlq_messages (tenant_id, topic, created_at);
ALTER TABLE dlq_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE dlq_messages FORCE ROW LEVEL SECURITY;
CREATE POLICY dlq_messages_tenant ON dlq_messages USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- migrate:down
DROP TABLE dlq_messages;
DROP TABLE asset_provenance;
DROP TABLE trace_facts;
