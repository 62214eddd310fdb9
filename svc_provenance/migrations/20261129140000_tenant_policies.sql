-- migrate:up transaction:false
-- The CASE is for the planner, which takes a comparison for one that few rows pass (docs/adr/0024). Each
-- table is locked in a transaction of its own, for a moment: so no two locks are waited for at once.
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY asset_provenance_tenant ON asset_provenance
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_anchored_tenant ON audit_anchored
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_events_tenant ON audit_events
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_heads_tenant ON audit_heads
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_pending_tenant ON audit_pending
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_starts_tenant ON audit_starts
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY dlq_messages_tenant ON dlq_messages
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY receipts_tenant ON receipts
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY receipts_due_tenant ON receipts_due
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY retention_terms_tenant ON retention_terms
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY trace_facts_tenant ON trace_facts
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
COMMIT;

-- migrate:down transaction:false
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY trace_facts_tenant ON trace_facts
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY retention_terms_tenant ON retention_terms
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY receipts_due_tenant ON receipts_due
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY receipts_tenant ON receipts
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY dlq_messages_tenant ON dlq_messages
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_starts_tenant ON audit_starts
    USING (current_setting('soma.tenant_id', true) = '*'
        OR (tenant_id <> '' AND tenant_id = current_setting('soma.tenant_id', true)));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_pending_tenant ON audit_pending
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_heads_tenant ON audit_heads
    USING (current_setting('soma.tenant_id', true) = '*'
        OR (tenant_id <> '' AND tenant_id = current_setting('soma.tenant_id', true)));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_events_tenant ON audit_events
    USING (current_setting('soma.tenant_id', true) = '*'
        OR (tenant_id <> '' AND tenant_id = current_setting('soma.tenant_id', true)));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY audit_anchored_tenant ON audit_anchored
    USING (current_setting('soma.tenant_id', true) = '*'
        OR (tenant_id <> '' AND tenant_id = current_setting('soma.tenant_id', true)));
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER POLICY asset_provenance_tenant ON asset_provenance
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMIT;
