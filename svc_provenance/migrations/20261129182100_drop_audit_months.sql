-- migrate:up
-- Drops the part of one month, the oldest there is. `starts` says of each chain in it which entry was its last, signed:
-- an array of {tenant_id, sequence, digest, key_version, signature, created_at}. Gives the number of entries,
-- of a million or more the number that the planner goes by. Chains are found one after the other by index, and of each
-- its last entry alone, so that writers are not held off for as long as the part is large.
CREATE OR REPLACE FUNCTION soma_drop_audit_month(first date, starts jsonb) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
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
        'WITH RECURSIVE chains (tenant_id) AS ('
        '(SELECT tenant_id FROM %1$s ORDER BY tenant_id LIMIT 1) UNION ALL '
        'SELECT (SELECT e.tenant_id FROM %1$s AS e WHERE e.tenant_id > c.tenant_id ORDER BY e.tenant_id LIMIT 1) '
        'FROM chains AS c WHERE c.tenant_id IS NOT NULL), '
        'said AS MATERIALIZED ('
        'SELECT * FROM jsonb_to_recordset($1) AS s(tenant_id text, sequence bigint, digest text)) '
        'SELECT count(*) FROM chains AS c CROSS JOIN LATERAL ('
        'SELECT tenant_id, sequence, encode(digest, ''hex'') AS digest FROM %1$s WHERE tenant_id = c.tenant_id '
        'ORDER BY sequence DESC LIMIT 1) AS last WHERE (last.tenant_id, last.sequence, last.digest) NOT IN '
        '(SELECT tenant_id, sequence, digest FROM said WHERE said.* IS NOT NULL)', part)
        INTO unsaid USING starts;
    IF unsaid > 0 THEN
        RAISE EXCEPTION '% chains would lose their start', unsaid;
    END IF;
    EXECUTE format(
        'INSERT INTO %I.audit_starts AS a SELECT * FROM jsonb_to_recordset($1) AS s(tenant_id text, sequence bigint, '
        'digest text, key_version integer, signature text, created_at timestamptz) ON CONFLICT (tenant_id) DO UPDATE '
        'SET sequence = excluded.sequence, digest = excluded.digest, key_version = excluded.key_version, '
        'signature = excluded.signature, created_at = excluded.created_at WHERE a.sequence < excluded.sequence', home)
        USING starts;
    held := (SELECT reltuples FROM pg_class WHERE oid = part::regclass);
    IF held < 1000000 THEN
        EXECUTE format('SELECT count(*) FROM %s', part) INTO held;
    END IF;
    EXECUTE format('DROP TABLE %s', part);
    PERFORM set_config('soma.tenant_id', coalesce(tenant, ''), true);
    RETURN held;
END
$$;

-- migrate:down
-- Drops the part of one month, the oldest there is. `starts` says of each chain in it which entry was its last, signed:
-- an array of {tenant_id, sequence, digest, key_version, signature, created_at}. Gives the number of entries.
CREATE OR REPLACE FUNCTION soma_drop_audit_month(first date, starts jsonb) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
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
