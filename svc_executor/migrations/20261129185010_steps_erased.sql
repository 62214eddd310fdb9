-- migrate:up
SET LOCAL lock_timeout = '10s';
ALTER TABLE job_steps ADD COLUMN erased boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN job_steps.erased IS 'An asset of the result was erased, and the text with it.';
CREATE TRIGGER job_steps_text BEFORE INSERT OR UPDATE ON job_steps FOR EACH ROW
    WHEN (cardinality(NEW.asset_ids) > 0 AND NOT NEW.erased) EXECUTE FUNCTION keep_step_text();

-- migrate:down
SET LOCAL lock_timeout = '10s';
DROP TRIGGER job_steps_text ON job_steps;
ALTER TABLE job_steps DROP COLUMN erased;
