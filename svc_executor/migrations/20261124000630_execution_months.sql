-- migrate:up
-- Attempts by the month of their job, so that the space of old months is given back at once.
SET LOCAL soma.tenant_id = '*';
ALTER TABLE multimodal_executions RENAME TO multimodal_executions_before;
ALTER INDEX executions_plan RENAME TO executions_before_plan;
ALTER INDEX executions_state RENAME TO executions_before_state;
ALTER TABLE multimodal_executions_before RENAME CONSTRAINT multimodal_executions_pkey TO multimodal_executions_before_pkey;
ALTER TABLE multimodal_executions_before
    RENAME CONSTRAINT multimodal_executions_plan_id_step_index_attempt_key TO multimodal_executions_before_attempt_key;

CREATE TABLE multimodal_executions (
    id uuid NOT NULL,
    plan_id uuid NOT NULL REFERENCES multimodal_job_plans ON DELETE CASCADE,
    -- soma_month_of(plan_id).
    month date NOT NULL,
    step_index integer NOT NULL,
    attempt integer NOT NULL,
    tenant_id text NOT NULL,
    step_id text NOT NULL,
    step_type text NOT NULL,
    modality text NOT NULL,
    tool_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    chosen jsonb NOT NULL,
    status text NOT NULL CHECK (status IN ('RUNNING', 'SUCCEEDED', 'FAILED', 'REJECTED', 'CANCELLED')),
    selection_id text NOT NULL,
    reservation_id text NOT NULL,
    reserved_micro_usd bigint NOT NULL,
    settled boolean NOT NULL,
    reported boolean NOT NULL,
    idempotency_key text NOT NULL,
    params jsonb NOT NULL,
    prompt text NOT NULL,
    input_asset_ids text[] NOT NULL,
    asset_ids text[] NOT NULL,
    asset_id text GENERATED ALWAYS AS (asset_ids[1]) STORED,
    text text NOT NULL,
    latency_ms bigint NOT NULL,
    cost_micro_usd bigint NOT NULL,
    -- In US cents, for the dashboards that know this name.
    cost_estimate numeric GENERATED ALWAYS AS (cost_micro_usd / 10000.0) STORED,
    quality_score double precision,
    evaluation_id text NOT NULL,
    feedback jsonb NOT NULL,
    fallback_reason text NOT NULL,
    rework_reason text NOT NULL,
    rework_of integer NOT NULL,
    error_code text NOT NULL,
    error_message text NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT multimodal_executions_pkey PRIMARY KEY (id, month),
    UNIQUE (plan_id, step_index, attempt, month)
) PARTITION BY RANGE (month);
CREATE INDEX executions_state ON multimodal_executions (tenant_id, status, created_at);
SELECT soma_partition_by_month('multimodal_executions', 'created_at', true);
SELECT soma_make_month('multimodal_executions', month)
FROM (SELECT DISTINCT soma_month_of(plan_id::text) AS month FROM multimodal_executions_before) AS m
WHERE month > '1970-01-01';
SELECT soma_month_partitions('multimodal_executions', 3);
DO $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO names
    FROM pg_attribute WHERE attrelid = 'multimodal_executions_before'::regclass
        AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('INSERT INTO multimodal_executions (month, %1$s) '
        'SELECT soma_month_of(plan_id::text), %1$s FROM multimodal_executions_before', names);
END
$$;
DROP TABLE multimodal_executions_before;

ALTER TABLE multimodal_executions ENABLE ROW LEVEL SECURITY;
ALTER TABLE multimodal_executions FORCE ROW LEVEL SECURITY;
CREATE POLICY executions_tenant ON multimodal_executions
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
-- What retention looks for.
CREATE INDEX job_plans_ended ON multimodal_job_plans (ended_at) WHERE ended_at IS NOT NULL;

-- migrate:down
SET LOCAL soma.tenant_id = '*';
DROP INDEX job_plans_ended;
CREATE TABLE multimodal_executions_after (LIKE multimodal_executions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED);
DO $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO names
    FROM pg_attribute WHERE attrelid = 'multimodal_executions'::regclass
        AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('INSERT INTO multimodal_executions_after (%1$s) SELECT %1$s FROM multimodal_executions', names);
END
$$;
DROP TABLE multimodal_executions;
DELETE FROM partitioned_tables WHERE name = 'multimodal_executions';
ALTER TABLE multimodal_executions_after RENAME TO multimodal_executions;
ALTER TABLE multimodal_executions DROP COLUMN month;
ALTER TABLE multimodal_executions ADD CONSTRAINT multimodal_executions_pkey PRIMARY KEY (id);
ALTER TABLE multimodal_executions ADD FOREIGN KEY (plan_id) REFERENCES multimodal_job_plans ON DELETE CASCADE;
ALTER TABLE multimodal_executions ADD CONSTRAINT multimodal_executions_plan_id_step_index_attempt_key
    UNIQUE (plan_id, step_index, attempt);
CREATE INDEX executions_plan ON multimodal_executions (plan_id);
CREATE INDEX executions_state ON multimodal_executions (tenant_id, status, created_at);
ALTER TABLE multimodal_executions ENABLE ROW LEVEL SECURITY;
ALTER TABLE multimodal_executions FORCE ROW LEVEL SECURITY;
CREATE POLICY executions_tenant ON multimodal_executions
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
