-- migrate:up transaction:false
CREATE UNIQUE INDEX CONCURRENTLY multimodal_capabilities_owner
    ON multimodal_capabilities (tenant_id, tool_id, provider);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS multimodal_capabilities_owner;
