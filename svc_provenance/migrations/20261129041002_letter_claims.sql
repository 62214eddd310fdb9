-- migrate:up
SET LOCAL lock_timeout = '10s';
ALTER TABLE dlq_messages ADD COLUMN claimed_until timestamptz;
COMMENT ON COLUMN dlq_messages.claimed_until IS 'Until when a member tells the workflow of this letter; others leave it alone.';

-- migrate:down
ALTER TABLE dlq_messages DROP COLUMN claimed_until;
