-- migrate:up
-- A constant default: no row is written anew. Heads whose anchor is there are set aside by the looks for chains that
-- need one. A trigger, so that entries which an earlier version appends count as well.
SET LOCAL lock_timeout = '10s';
ALTER TABLE audit_heads ADD COLUMN anchored boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN audit_heads.anchored IS 'Whether the newest entry is known to have an anchor; false where nobody looked yet.';
CREATE FUNCTION audit_heads_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.anchored := false;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_heads_grow BEFORE UPDATE OF sequence ON audit_heads
    FOR EACH ROW EXECUTE FUNCTION audit_heads_grow();

-- migrate:down
SET LOCAL lock_timeout = '10s';
DROP TRIGGER audit_heads_grow ON audit_heads;
DROP FUNCTION audit_heads_grow();
ALTER TABLE audit_heads DROP COLUMN anchored;
