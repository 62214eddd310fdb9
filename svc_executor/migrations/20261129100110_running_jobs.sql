-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY job_plans_running ON multimodal_job_plans (id) WHERE status = 'RUNNING';

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY job_plans_running;
