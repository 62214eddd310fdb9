-- migrate:up
CREATE TABLE selections (
    selection_id  uuid PRIMARY KEY,
    tenant_id     text NOT NULL,
    request_id    text,
    job_id        text NOT NULL,
    capability_id text NOT NULL,
    document      bytea NOT NULL,
    decided_at    timestamptz NOT NULL
);
COMMENT ON COLUMN selections.document IS 'soma.selector.v1.Selection';
CREATE UNIQUE INDEX selections_request ON selections (tenant_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX selections_job ON selections (tenant_id, job_id, selection_id DESC);
ALTER TABLE selections ENABLE ROW LEVEL SECURITY;
ALTER TABLE selections FORCE ROW LEVEL SECURITY;
CREATE POLICY selections_tenant ON selections USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE budgets (
    tenant_id       text NOT NULL,
    scope           text NOT NULL,
    limit_micro_usd bigint NOT NULL CHECK (limit_micro_usd >= 0),
    updated_by      text NOT NULL,
    PRIMARY KEY (tenant_id, scope)
);
COMMENT ON COLUMN budgets.scope IS 'A modality, or empty for all together.';
ALTER TABLE budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE budgets FORCE ROW LEVEL SECURITY;
CREATE POLICY budgets_tenant ON budgets USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE budget_accounts (
    tenant_id          text NOT NULL,
    scope              text NOT NULL,
    period_start       timestamptz NOT NULL,
    reserved_micro_usd bigint NOT NULL DEFAULT 0 CHECK (reserved_micro_usd >= 0),
    settled_micro_usd  bigint NOT NULL DEFAULT 0 CHECK (settled_micro_usd >= 0),
    PRIMARY KEY (tenant_id, scope, period_start)
);
ALTER TABLE budget_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY budget_accounts_tenant ON budget_accounts
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE reservations (
    reservation_id     uuid PRIMARY KEY,
    tenant_id          text NOT NULL,
    modality           text NOT NULL,
    period_start       timestamptz NOT NULL,
    state              text NOT NULL CHECK (state IN ('held', 'settled', 'released', 'expired')),
    reserved_micro_usd bigint NOT NULL,
    settled_micro_usd  bigint NOT NULL DEFAULT 0,
    expires_at         timestamptz NOT NULL
);
CREATE INDEX reservations_held ON reservations (expires_at) WHERE state = 'held';
ALTER TABLE reservations ENABLE ROW LEVEL SECURITY;
ALTER TABLE reservations FORCE ROW LEVEL SECURITY;
CREATE POLICY reservations_tenant ON reservations USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- migrate:down
DROP TABLE reservations;
DROP TABLE budget_accounts;
DROP TABLE budgets;
DROP TABLE selections;
