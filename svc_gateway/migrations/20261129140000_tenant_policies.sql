-- migrate:up transaction:false
-- The CASE is for the planner, which takes a comparison for one that few rows pass (docs/adr/0024). Each
-- table is locked in a transaction of its own, for a moment: so no two locks are waited for at once.
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY own_tenant ON api_keys
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY own_tenant ON tenant_updates
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY own_tenant ON tenants
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;

-- migrate:down transaction:false
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY own_tenant ON tenants
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY own_tenant ON tenant_updates
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY own_tenant ON api_keys
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
