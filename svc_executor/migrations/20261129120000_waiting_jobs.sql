-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY job_plans_waiting ON multimodal_job_plans (tenant_id, id) WHERE status = 'PENDING';

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY job_plans_waiting;
