-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY job_plans_by_state ON multimodal_job_plans (tenant_id, status, id DESC);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY job_plans_by_state;
