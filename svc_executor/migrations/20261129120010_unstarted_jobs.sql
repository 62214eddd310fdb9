-- migrate:up transaction:false
DROP INDEX CONCURRENTLY job_plans_unstarted;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY job_plans_unstarted ON multimodal_job_plans (created_at) WHERE status = 'PENDING';
