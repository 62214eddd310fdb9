-- migrate:up
-- A job: one durable run of a plan. `id` is also the id of its workflow.
CREATE TABLE multimodal_job_plans (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    session_id text NOT NULL,
    plan_json jsonb NOT NULL,
    status text NOT NULL CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'PARTIAL', 'FAILED', 'CANCELLED')),
    title text NOT NULL,
    -- Whose job it is: verified claims, never a token.
    owner jsonb NOT NULL,
    terms jsonb NOT NULL,
    run integer NOT NULL,
    message text NOT NULL,
    cost_micro_usd bigint NOT NULL,
    steps_total integer NOT NULL,
    steps_ended integer NOT NULL,
    cancel_reason text,
    trace_id text NOT NULL,
    traceparent text NOT NULL,
    request_id text,
    request_digest text NOT NULL,
    -- Sequence of the last event of the timeline.
    event_sequence bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz
);
CREATE UNIQUE INDEX job_plans_request ON multimodal_job_plans (tenant_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX job_plans_newest ON multimodal_job_plans (tenant_id, id DESC);
CREATE INDEX job_plans_unstarted ON multimodal_job_plans (created_at) WHERE status = 'PENDING';

CREATE TABLE job_steps (
    plan_id uuid NOT NULL REFERENCES multimodal_job_plans ON DELETE CASCADE,
    step_index integer NOT NULL,
    step_id text NOT NULL,
    tenant_id text NOT NULL,
    task jsonb NOT NULL,
    status text NOT NULL CHECK (status IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'SKIPPED', 'CANCELLED')),
    asset_ids text[] NOT NULL,
    text text NOT NULL,
    capability_id text NOT NULL,
    message text NOT NULL,
    attempts integer NOT NULL,
    accepted_attempt integer NOT NULL,
    quality_score double precision,
    cost_micro_usd bigint NOT NULL,
    PRIMARY KEY (plan_id, step_index),
    UNIQUE (plan_id, step_id)
);

-- An attempt of a step with one capability.
CREATE TABLE multimodal_executions (
    id uuid PRIMARY KEY,
    plan_id uuid NOT NULL REFERENCES multimodal_job_plans ON DELETE CASCADE,
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
    UNIQUE (plan_id, step_index, attempt)
);
CREATE INDEX executions_plan ON multimodal_executions (plan_id);
CREATE INDEX executions_state ON multimodal_executions (tenant_id, status, created_at);

-- The timeline of a job; `sequence` grows from 1 without gaps.
CREATE TABLE job_events (
    plan_id uuid NOT NULL REFERENCES multimodal_job_plans ON DELETE CASCADE,
    sequence bigint NOT NULL,
    tenant_id text NOT NULL,
    type text NOT NULL,
    message text NOT NULL,
    job_status text NOT NULL,
    progress double precision NOT NULL,
    step_id text NOT NULL,
    step_status text,
    capability_id text NOT NULL,
    asset_ids text[] NOT NULL,
    attempt integer NOT NULL,
    terminal boolean NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (plan_id, sequence)
);

CREATE TABLE compensations (
    plan_id uuid NOT NULL REFERENCES multimodal_job_plans ON DELETE CASCADE,
    run integer NOT NULL,
    position integer NOT NULL,
    tenant_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('asset', 'reservation')),
    target_id text NOT NULL,
    step_id text NOT NULL,
    execution_id text NOT NULL,
    done boolean NOT NULL,
    message text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (plan_id, run, position)
);

ALTER TABLE multimodal_job_plans ENABLE ROW LEVEL SECURITY;
ALTER TABLE multimodal_job_plans FORCE ROW LEVEL SECURITY;
CREATE POLICY job_plans_tenant ON multimodal_job_plans
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
ALTER TABLE job_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE job_steps FORCE ROW LEVEL SECURITY;
CREATE POLICY job_steps_tenant ON job_steps USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
ALTER TABLE multimodal_executions ENABLE ROW LEVEL SECURITY;
ALTER TABLE multimodal_executions FORCE ROW LEVEL SECURITY;
CREATE POLICY executions_tenant ON multimodal_executions
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
ALTER TABLE job_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE job_events FORCE ROW LEVEL SECURITY;
CREATE POLICY job_events_tenant ON job_events USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
ALTER TABLE compensations ENABLE ROW LEVEL SECURITY;
ALTER TABLE compensations FORCE ROW LEVEL SECURITY;
CREATE POLICY compensations_tenant ON compensations
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE FUNCTION job_events_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_TABLE_SCHEMA || '.job_events', NEW.plan_id::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER job_events_notify AFTER INSERT ON job_events FOR EACH ROW EXECUTE FUNCTION job_events_notify();

-- migrate:down
DROP TABLE compensations;
DROP TABLE job_events;
DROP TABLE multimodal_executions;
DROP TABLE job_steps;
DROP TABLE multimodal_job_plans;
DROP FUNCTION job_events_notify();
