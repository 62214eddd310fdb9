-- migrate:up
-- Calls of providers whose attempt is not recorded yet. The outcome is a blob under the tenant and the key.
CREATE TABLE provider_calls (
    -- No reference to the attempt: the row must outlive it until the blob is erased.
    execution_id uuid PRIMARY KEY,
    plan_id uuid NOT NULL,
    tenant_id text NOT NULL,
    idempotency_key text NOT NULL,
    started_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL
);
CREATE INDEX provider_calls_plan ON provider_calls (plan_id);
CREATE INDEX provider_calls_started ON provider_calls (started_at);
ALTER TABLE provider_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY provider_calls_tenant ON provider_calls
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- Requests other than SubmitJob that were made once and must not be made again.
CREATE TABLE job_requests (
    tenant_id text NOT NULL,
    request_id text NOT NULL,
    digest text NOT NULL,
    plan_id uuid NOT NULL REFERENCES multimodal_job_plans ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, request_id)
);
CREATE INDEX job_requests_plan ON job_requests (plan_id);
ALTER TABLE job_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE job_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY job_requests_tenant ON job_requests
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- Number of the last fact that was published of the job.
ALTER TABLE multimodal_job_plans ADD COLUMN fact_sequence bigint NOT NULL DEFAULT 0;
-- Id of the request that submitted the job: that of the caller, else that of the call, which need not be unique.
ALTER TABLE multimodal_job_plans ADD COLUMN source_request_id text NOT NULL DEFAULT '';
-- On whose behalf the job acts since it was resumed; absent: its owner's.
ALTER TABLE multimodal_job_plans ADD COLUMN acts_for jsonb;

-- migrate:down
ALTER TABLE multimodal_job_plans DROP COLUMN acts_for;
ALTER TABLE multimodal_job_plans DROP COLUMN source_request_id;
ALTER TABLE multimodal_job_plans DROP COLUMN fact_sequence;
DROP TABLE job_requests;
DROP TABLE provider_calls;
