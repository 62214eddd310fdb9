-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY audit_heads_unanchored ON audit_heads (tenant_id) WHERE NOT anchored;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY audit_heads_unanchored;
