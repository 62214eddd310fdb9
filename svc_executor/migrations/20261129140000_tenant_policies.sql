-- migrate:up transaction:false
-- The CASE is for the planner, which takes a comparison for one that few rows pass (docs/adr/0024). Each
-- table is locked in a transaction of its own, for a moment: so no two locks are waited for at once.
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY compensations_tenant ON compensations
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_events_tenant ON job_events
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_requests_tenant ON job_requests
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_steps_tenant ON job_steps
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY executions_tenant ON multimodal_executions
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_plans_tenant ON multimodal_job_plans
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY provider_calls_tenant ON provider_calls
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;

-- migrate:down transaction:false
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY provider_calls_tenant ON provider_calls
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_plans_tenant ON multimodal_job_plans
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY executions_tenant ON multimodal_executions
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_steps_tenant ON job_steps
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_requests_tenant ON job_requests
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY job_events_tenant ON job_events
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY compensations_tenant ON compensations
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
