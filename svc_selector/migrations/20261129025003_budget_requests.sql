-- migrate:up
CREATE TABLE budget_requests (
    id                 uuid PRIMARY KEY,
    tenant_id          text NOT NULL,
    request_id         text NOT NULL,
    request_digest     bytea NOT NULL,
    scope              text NOT NULL,
    limit_micro_usd    bigint NOT NULL,
    reserved_micro_usd bigint NOT NULL,
    settled_micro_usd  bigint NOT NULL,
    period_start       timestamptz NOT NULL,
    updated_by         text NOT NULL,
    UNIQUE (tenant_id, request_id)
);
COMMENT ON TABLE budget_requests IS 'Answers of SetBudget by their request ids.';
ALTER TABLE budget_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY budget_requests_tenant ON budget_requests
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- migrate:down
DROP TABLE budget_requests;
