-- migrate:up
SET LOCAL lock_timeout = '10s';
ALTER TABLE reservations ADD COLUMN prices jsonb, ADD COLUMN cost_micro_usd bigint;
COMMENT ON COLUMN reservations.prices IS
    'Prices of the chosen capability at the time of the choice, by unit; null where an earlier version kept none.';
COMMENT ON COLUMN reservations.cost_micro_usd IS
    'True cost once it is settled, of which the caps bore settled_micro_usd; null before.';

-- migrate:down
SET LOCAL lock_timeout = '10s';
ALTER TABLE reservations DROP COLUMN cost_micro_usd, DROP COLUMN prices;
