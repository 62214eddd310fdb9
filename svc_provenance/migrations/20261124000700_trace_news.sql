-- migrate:up
ALTER TABLE asset_provenance ADD COLUMN prompt text;
COMMENT ON COLUMN asset_provenance.prompt IS 'Redacted, only where policy lets whole prompts be kept.';

-- Every fact that is kept wakes the watchers of its job.
CREATE FUNCTION trace_news_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_TABLE_SCHEMA || '.trace_news', NEW.job_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER trace_news_tell AFTER INSERT OR UPDATE ON trace_facts FOR EACH ROW EXECUTE FUNCTION trace_news_tell();

-- migrate:down
DROP TRIGGER trace_news_tell ON trace_facts;
DROP FUNCTION trace_news_tell();
ALTER TABLE asset_provenance DROP COLUMN prompt;
