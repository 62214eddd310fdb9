-- migrate:up
-- An empty tenant is the platform: its rows are written by transactions of the system alone. The CASE is for the planner,
-- which takes an equality for one that few rows pass, and then sorts whole tables for one page of them.
ALTER TABLE multimodal_capabilities ENABLE ROW LEVEL SECURITY;
ALTER TABLE multimodal_capabilities FORCE ROW LEVEL SECURITY;
CREATE POLICY capabilities_tenant ON multimodal_capabilities
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
ALTER TABLE ladders ENABLE ROW LEVEL SECURITY;
ALTER TABLE ladders FORCE ROW LEVEL SECURITY;
CREATE POLICY ladders_tenant ON ladders
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
ALTER TABLE registrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE registrations FORCE ROW LEVEL SECURITY;
CREATE POLICY registrations_tenant ON registrations
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- migrate:down
DROP POLICY registrations_tenant ON registrations;
ALTER TABLE registrations NO FORCE ROW LEVEL SECURITY;
ALTER TABLE registrations DISABLE ROW LEVEL SECURITY;
DROP POLICY ladders_tenant ON ladders;
ALTER TABLE ladders NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ladders DISABLE ROW LEVEL SECURITY;
DROP POLICY capabilities_tenant ON multimodal_capabilities;
ALTER TABLE multimodal_capabilities NO FORCE ROW LEVEL SECURITY;
ALTER TABLE multimodal_capabilities DISABLE ROW LEVEL SECURITY;
