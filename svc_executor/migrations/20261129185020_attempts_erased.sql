-- migrate:up
SET LOCAL lock_timeout = '10s';
CREATE TRIGGER executions_text BEFORE INSERT OR UPDATE ON multimodal_executions FOR EACH ROW
    WHEN (NEW.text <> '' AND cardinality(NEW.asset_ids) > 0) EXECUTE FUNCTION keep_attempt_text();

-- migrate:down
SET LOCAL lock_timeout = '10s';
DROP TRIGGER executions_text ON multimodal_executions;
