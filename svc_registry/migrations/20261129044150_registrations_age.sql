-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS registrations_age ON registrations (created_at);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS registrations_age;
