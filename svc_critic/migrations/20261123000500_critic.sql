-- migrate:up
CREATE TABLE rubrics (
    tenant_id  text NOT NULL,
    rubric_id  uuid NOT NULL,
    asset_type text NOT NULL,
    is_default boolean NOT NULL,
    version    bigint NOT NULL,
    document   jsonb NOT NULL,
    PRIMARY KEY (tenant_id, rubric_id)
);
CREATE UNIQUE INDEX rubrics_default ON rubrics (tenant_id, asset_type) WHERE is_default;
ALTER TABLE rubrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE rubrics FORCE ROW LEVEL SECURITY;
CREATE POLICY rubrics_tenant ON rubrics USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE rubric_requests (
    tenant_id  text NOT NULL,
    request_id text NOT NULL,
    digest     text NOT NULL,
    rubric_id  uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, request_id)
);
ALTER TABLE rubric_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE rubric_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY rubric_requests_tenant ON rubric_requests
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE evaluations (
    evaluation_id uuid PRIMARY KEY,
    tenant_id     text NOT NULL,
    asset_id      text NOT NULL,
    job_id        text NOT NULL,
    request_id    text,
    digest        text NOT NULL,
    passes        boolean NOT NULL,
    score         double precision NOT NULL,
    document      jsonb NOT NULL,
    created_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX evaluations_request ON evaluations (tenant_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX evaluations_newest ON evaluations (tenant_id, evaluation_id DESC);
CREATE INDEX evaluations_asset ON evaluations (tenant_id, asset_id, evaluation_id DESC);
CREATE INDEX evaluations_job ON evaluations (tenant_id, job_id, evaluation_id DESC);
ALTER TABLE evaluations ENABLE ROW LEVEL SECURITY;
ALTER TABLE evaluations FORCE ROW LEVEL SECURITY;
CREATE POLICY evaluations_tenant ON evaluations USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- migrate:down
DROP TABLE evaluations;
DROP TABLE rubric_requests;
DROP TABLE rubrics;
