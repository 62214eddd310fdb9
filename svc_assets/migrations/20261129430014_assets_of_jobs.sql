-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_job ON multimodal_assets (tenant_id, job_id) WHERE job_id <> '';

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_job;
