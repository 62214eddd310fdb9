-- migrate:up
-- Choices are entries, too, and many: others are found among them by their action. Parts that hold much are left out,
-- since to build an index on them would hold off writers for long; docs/audit.md says how to add theirs. New parts get
-- it when they are attached.
SET LOCAL lock_timeout = '10s';
DO $$
DECLARE
    part record;
BEGIN
    EXECUTE 'CREATE INDEX audit_events_action ON ONLY audit_events (tenant_id, action, sequence)';
    FOR part IN
        SELECT c.oid::regclass AS name, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_events'::regclass AND c.reltuples < 1000000
    LOOP
        EXECUTE format('CREATE INDEX %I ON %s (tenant_id, action, sequence)', part.relname || '_action', part.name);
        EXECUTE format('ALTER INDEX audit_events_action ATTACH PARTITION %I', part.relname || '_action');
    END LOOP;
END
$$;

-- migrate:down
DROP INDEX audit_events_action;
