-- migrate:up
-- Entries that wait for their place in a chain, so that who brings them need not hold the heads of several chains.
CREATE TABLE audit_pending (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    entry     jsonb NOT NULL
);
CREATE INDEX audit_pending_tenant ON audit_pending (tenant_id, id);
ALTER TABLE audit_pending ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_pending FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_pending_tenant ON audit_pending USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE FUNCTION audit_pending_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_TABLE_SCHEMA || '.audit_pending', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_pending_tell AFTER INSERT ON audit_pending FOR EACH STATEMENT EXECUTE FUNCTION audit_pending_tell();

-- migrate:down
DROP TABLE audit_pending;
DROP FUNCTION audit_pending_tell;
