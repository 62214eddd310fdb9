-- migrate:up
-- No row is written anew: where job_id is NULL, request_id still holds the job.
SET LOCAL lock_timeout = '10s';
ALTER TABLE asset_provenance ADD COLUMN job_id text;
COMMENT ON COLUMN asset_provenance.job_id IS 'The job; NULL in rows that an earlier version wrote.';
COMMENT ON COLUMN asset_provenance.request_id IS 'The request that the job was submitted with; where job_id is NULL, the job.';

-- migrate:down
UPDATE asset_provenance SET request_id = job_id WHERE job_id IS NOT NULL;
ALTER TABLE asset_provenance DROP COLUMN job_id;
COMMENT ON COLUMN asset_provenance.request_id IS 'The job.';
