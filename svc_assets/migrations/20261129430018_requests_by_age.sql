-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY upload_requests_age ON upload_requests (created_at);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY upload_requests_age;
