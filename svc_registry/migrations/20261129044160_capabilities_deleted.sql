-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS multimodal_capabilities_deleted
    ON multimodal_capabilities (deleted_at) WHERE deleted_at IS NOT NULL AND tenant_id <> '';

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS multimodal_capabilities_deleted;
