-- migrate:up
-- The CASE is for the planner, which takes a comparison for one that few rows pass (docs/adr/0024).
SET LOCAL lock_timeout = '10s';
ALTER POLICY outbox_tenant ON outbox
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- migrate:down
SET LOCAL lock_timeout = '10s';
ALTER POLICY outbox_tenant ON outbox
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
