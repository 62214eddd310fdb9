-- migrate:up
ALTER TABLE multimodal_capabilities
    DROP CONSTRAINT multimodal_capabilities_pkey,
    DROP CONSTRAINT multimodal_capabilities_tool_id_provider_key,
    ADD CONSTRAINT multimodal_capabilities_pkey PRIMARY KEY USING INDEX multimodal_capabilities_owner,
    DROP COLUMN capability_id,
    DROP COLUMN health;
COMMENT ON TABLE multimodal_capabilities IS 'Models and tools: the platform''s, and the private ones of tenants.';
COMMENT ON COLUMN multimodal_capabilities.tenant_id IS
    'Whose private capability it is, which nobody else sees; empty: the platform''s.';
COMMENT ON COLUMN multimodal_capabilities.document IS 'What has no column of its own.';
COMMENT ON COLUMN multimodal_capabilities.version IS 'Grows with each change, that of health aside.';
COMMENT ON COLUMN multimodal_capabilities.health_version IS 'Grows with each change of health.';
COMMENT ON COLUMN multimodal_capabilities.deleted_at IS 'When it was deleted; the record stays for the term of retention.';

-- migrate:down
-- The older schema has one name space: where two owners have an id, the platform's stays.
DELETE FROM multimodal_capabilities c
WHERE deleted_at IS NOT NULL OR EXISTS (
    SELECT 1 FROM multimodal_capabilities o
    WHERE o.tool_id = c.tool_id AND o.provider = c.provider AND o.tenant_id < c.tenant_id AND o.deleted_at IS NULL);
ALTER TABLE multimodal_capabilities
    ADD COLUMN health jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN capability_id text NOT NULL GENERATED ALWAYS AS (tool_id || '@' || provider) STORED;
ALTER TABLE multimodal_capabilities ALTER COLUMN capability_id DROP EXPRESSION;
ALTER TABLE multimodal_capabilities
    DROP CONSTRAINT multimodal_capabilities_pkey,
    ADD CONSTRAINT multimodal_capabilities_pkey PRIMARY KEY (capability_id),
    ADD CONSTRAINT multimodal_capabilities_tool_id_provider_key UNIQUE (tool_id, provider);
