-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS rubrics_of_type ON rubrics (tenant_id, asset_type, rubric_id);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS rubrics_of_type;
