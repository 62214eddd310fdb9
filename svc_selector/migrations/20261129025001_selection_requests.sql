-- migrate:up
ALTER TABLE selections ADD COLUMN request_digest bytea;
COMMENT ON COLUMN selections.request_digest IS 'SHA-256 of the SelectRequest that request_id stands for; null without one.';

-- migrate:down
ALTER TABLE selections DROP COLUMN request_digest;
