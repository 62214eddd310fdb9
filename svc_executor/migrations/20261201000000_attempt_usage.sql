-- migrate:up
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_executions
    ADD COLUMN usage jsonb, ADD COLUMN usage_unknown boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN multimodal_executions.usage IS
    'Units that the call consumed; null while the attempt runs, where nobody knows (usage_unknown), and where an earlier '
    'version recorded the end.';
COMMENT ON COLUMN multimodal_executions.usage_unknown IS
    'Whether the attempt ended and nobody knows what its call consumed: it costs what was reserved.';

-- migrate:down
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_executions DROP COLUMN usage_unknown, DROP COLUMN usage;
