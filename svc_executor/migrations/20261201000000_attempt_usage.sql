-- migrate:up
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_executions ADD COLUMN usage jsonb;
COMMENT ON COLUMN multimodal_executions.usage IS
    'Units that the call consumed, empty where nobody knows them: then it costs what was reserved. Null while the attempt '
    'runs, and where an earlier version recorded its end.';

-- migrate:down
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_executions DROP COLUMN usage;
