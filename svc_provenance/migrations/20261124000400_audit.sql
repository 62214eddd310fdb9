-- migrate:up
-- One chain a tenant, that of the platform under ''. Cut by the month of the record time, which grows along a chain.
CREATE TABLE audit_events (
    tenant_id       text NOT NULL,
    sequence        bigint NOT NULL,
    audit_id        text NOT NULL,
    occurred_at     timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL,
    action          text NOT NULL,
    context         text NOT NULL,
    subject         text NOT NULL,
    actor           text NOT NULL,
    resource_type   text NOT NULL,
    resource_id     text NOT NULL,
    decision        text NOT NULL,
    policy_id       text NOT NULL,
    before_digest   text NOT NULL,
    after_digest    text NOT NULL,
    trace_id        text NOT NULL,
    reason          text NOT NULL,
    previous_digest bytea NOT NULL,
    digest          bytea NOT NULL,
    PRIMARY KEY (tenant_id, sequence, recorded_at)
) PARTITION BY RANGE (recorded_at);
COMMENT ON TABLE audit_events IS 'Append-only; docs/audit.md has the form that the digests are made of.';
CREATE INDEX audit_events_id ON audit_events (tenant_id, audit_id);
CREATE INDEX audit_events_subject ON audit_events (tenant_id, subject, sequence);
CREATE INDEX audit_events_resource ON audit_events (tenant_id, resource_type, resource_id, sequence);
-- NULL: soma_drop_month does not drop its parts; soma_drop_audit_month does, and asks for the chains' new starts.
SELECT soma_partition_by_month('audit_events', NULL);
SELECT soma_month_partitions('audit_events', 3);

-- The newest entry of each chain. Who appends holds its row.
CREATE TABLE audit_heads (
    tenant_id   text PRIMARY KEY,
    sequence    bigint NOT NULL,
    digest      bytea NOT NULL,
    recorded_at timestamptz NOT NULL
);
-- Up to where each chain has anchors; a chain without a row has none.
CREATE TABLE audit_anchored (
    tenant_id   text PRIMARY KEY,
    sequence    bigint NOT NULL,
    anchored_at timestamptz NOT NULL
);
-- Where chains start whose oldest entries were dropped: the last of those, signed.
CREATE TABLE audit_starts (
    tenant_id   text PRIMARY KEY,
    sequence    bigint NOT NULL,
    digest      text NOT NULL,
    key_version integer NOT NULL,
    signature   text NOT NULL,
    created_at  timestamptz NOT NULL
);

-- '' is what a session without a tenant has: it must not see the platform's chain.
DO $$
DECLARE
    home text := current_schema();
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['audit_events', 'audit_heads', 'audit_anchored', 'audit_starts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY %I ON %I USING (current_setting(''soma.tenant_id'', true) = ''*'' '
            'OR (tenant_id <> '''' AND tenant_id = current_setting(''soma.tenant_id'', true)))',
            name || '_tenant', name);
        EXECUTE format('REVOKE DELETE, TRUNCATE ON %I FROM PUBLIC, %I', name, home);
    END LOOP;
    EXECUTE format('REVOKE UPDATE ON audit_events FROM PUBLIC, %I', home);
    EXECUTE format('REVOKE INSERT, UPDATE ON audit_starts FROM PUBLIC, %I', home);
END
$$;

-- Holds for the owner as well, whom no missing right stops.
CREATE FUNCTION audit_events_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('soma.audit_upkeep', true) = 'moving' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_events is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_events_keep BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_keep();
CREATE TRIGGER audit_events_keep_all BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_keep();

-- Makes the parts of months ahead; what the default part holds of them moves there.
CREATE FUNCTION soma_audit_months(months_ahead integer, today date) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
    made integer;
BEGIN
    -- Not in the head of the function: only a superuser may set a parameter of ours there.
    PERFORM set_config('soma.audit_upkeep', 'moving', true);
    made := soma_month_partitions('audit_events', months_ahead, today);
    PERFORM set_config('soma.audit_upkeep', '', true);
    RETURN made;
END
$$;

-- Drops the part of one month, the oldest there is. `starts` says of each chain in it which entry was its last, signed:
-- an array of {tenant_id, sequence, digest, key_version, signature, created_at}. Gives the number of entries.
CREATE FUNCTION soma_drop_audit_month(first date, starts jsonb) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '3s' AS $$
DECLARE
    home text := current_schema();
    part text := format('%I.%I', home, 'audit_events' || to_char(first, '_YYYY_MM'));
    tenant text := current_setting('soma.tenant_id', true);
    held bigint;
    unsaid bigint;
BEGIN
    PERFORM set_config('soma.tenant_id', '*', true);
    IF first + interval '1 month' > clock_timestamp() - interval '90 days' THEN
        RAISE EXCEPTION 'audit entries of the last 90 days are kept';
    END IF;
    IF EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = format('%I.audit_events', home)::regclass AND c.relname ~ '_\d{4}_\d{2}$'
          AND to_date(right(c.relname, 7), 'YYYY_MM') < first
    ) THEN
        RAISE EXCEPTION 'an older month is still there';
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', part);
    EXECUTE format(
        'WITH last AS (SELECT DISTINCT ON (tenant_id) tenant_id, sequence, encode(digest, ''hex'') AS digest FROM %s '
        'ORDER BY tenant_id, sequence DESC) '
        'SELECT (SELECT count(*) FROM %1$s), count(*) FROM last l WHERE NOT EXISTS (SELECT FROM '
        'jsonb_to_recordset($1) AS s(tenant_id text, sequence bigint, digest text) '
        'WHERE (s.tenant_id, s.sequence, s.digest) = (l.tenant_id, l.sequence, l.digest))', part)
        INTO held, unsaid USING starts;
    IF unsaid > 0 THEN
        RAISE EXCEPTION '% chains would lose their start', unsaid;
    END IF;
    EXECUTE format(
        'INSERT INTO %I.audit_starts AS a SELECT * FROM jsonb_to_recordset($1) AS s(tenant_id text, sequence bigint, '
        'digest text, key_version integer, signature text, created_at timestamptz) ON CONFLICT (tenant_id) DO UPDATE '
        'SET sequence = excluded.sequence, digest = excluded.digest, key_version = excluded.key_version, '
        'signature = excluded.signature, created_at = excluded.created_at WHERE a.sequence < excluded.sequence', home)
        USING starts;
    EXECUTE format('DROP TABLE %s', part);
    PERFORM set_config('soma.tenant_id', coalesce(tenant, ''), true);
    RETURN held;
END
$$;
REVOKE ALL ON FUNCTION soma_audit_months, soma_drop_audit_month FROM PUBLIC;

-- migrate:down
DROP TABLE audit_events;
DROP TABLE audit_heads;
DROP TABLE audit_anchored;
DROP TABLE audit_starts;
DROP FUNCTION soma_drop_audit_month;
DROP FUNCTION soma_audit_months;
DROP FUNCTION audit_events_keep;
DELETE FROM partitioned_tables WHERE name = 'audit_events';
