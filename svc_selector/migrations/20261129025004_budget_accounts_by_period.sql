-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS budget_accounts_period ON budget_accounts (period_start);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS budget_accounts_period;
