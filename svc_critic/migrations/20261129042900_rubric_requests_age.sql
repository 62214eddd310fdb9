-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS rubric_requests_age ON rubric_requests (created_at);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS rubric_requests_age;
