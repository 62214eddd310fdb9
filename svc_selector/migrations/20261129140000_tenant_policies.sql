-- migrate:up transaction:false
-- The CASE is for the planner, which takes a comparison for one that few rows pass (docs/adr/0024). Each
-- table is locked in a transaction of its own, for a moment: so no two locks are waited for at once.
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY budget_accounts_tenant ON budget_accounts
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY budget_requests_tenant ON budget_requests
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY budgets_tenant ON budgets
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY reservations_tenant ON reservations
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY selections_tenant ON selections
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;

-- migrate:down transaction:false
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY selections_tenant ON selections
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY reservations_tenant ON reservations
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY budgets_tenant ON budgets
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY budget_requests_tenant ON budget_requests
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY budget_accounts_tenant ON budget_accounts
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
