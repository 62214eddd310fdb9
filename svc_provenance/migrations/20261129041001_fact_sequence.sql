-- migrate:up
-- A constant default: no row is written anew.
SET LOCAL lock_timeout = '10s';
ALTER TABLE trace_facts ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN trace_facts.sequence IS
    'Number of the event among those of its job; 0 where the sender gave none, whose events hold in the order they arrive.';

-- migrate:down
ALTER TABLE trace_facts DROP COLUMN sequence;
