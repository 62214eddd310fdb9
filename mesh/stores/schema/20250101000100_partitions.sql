-- migrate:up
-- Tables that are cut by month: which those are, and how their parts are made and dropped. A part belongs to the role
-- that migrates, so that the context's own role needs no right to change the schema.
CREATE TABLE partitioned_tables (
    name       text PRIMARY KEY,
    -- Moment of a row that says how old it is; NULL: soma_drop_month must not drop parts of this table.
    age_column text,
    -- Parts are dropped only once they hold no row.
    only_empty boolean NOT NULL
);
-- When each task of retention last came to its end.
CREATE TABLE retention_runs (
    task        text PRIMARY KEY,
    finished_at timestamptz NOT NULL
);

-- The month in which a UUIDv7 was made; 1970-01-01 for every other id. Never changes for an id.
CREATE FUNCTION soma_month_of(id text) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
             AND left(id, 8) COLLATE "C" >= '00dc6acf' AND left(id, 8) COLLATE "C" < '0699e991'
        THEN date_trunc('month', timestamp 'epoch'
             + (('x' || left(id, 8) || substr(id, 10, 4))::bit(48)::bigint / 1000) * interval '1 second')::date
        ELSE date '1970-01-01'
    END
$$;

-- Makes the part of one month unless it exists, with what the default part holds of it. Gives whether it did.
CREATE FUNCTION soma_make_month(parent text, first date) RETURNS boolean LANGUAGE plpgsql
SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    home text := current_schema();
    part text := format('%I.%I', home, parent || to_char(first, '_YYYY_MM'));
    whole text := format('%I.%I', home, parent);
    stray text := format('%I.%I', home, parent || '_default');
    next_first date := (first + interval '1 month')::date;
    month_key text;
    names text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('soma.partitions'), hashtext(whole));
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    SELECT quote_ident(attname) INTO STRICT month_key
    FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = whole::regclass;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO names
    FROM pg_attribute WHERE attrelid = whole::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)', part, whole);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %1$s WHERE %2$s >= %3$L AND %2$s < %4$L RETURNING %5$s) '
        'INSERT INTO %6$s (%5$s) SELECT %5$s FROM moved',
        stray, month_key, first, next_first, names, part);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', whole, part, first, next_first);
    -- Rows are reached through the whole table only, whose policy keeps tenants apart.
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, %I', part, home);
    RETURN true;
END
$$;

-- For migrations: gives a table its default part, and enters it among those that are cut by month.
CREATE FUNCTION soma_partition_by_month(parent text, age text, empty boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    home text := current_schema();
    stray text := format('%I.%I', home, parent || '_default');
BEGIN
    EXECUTE format('INSERT INTO %I.partitioned_tables VALUES ($1, $2, $3)', home) USING parent, age, empty;
    EXECUTE format('CREATE TABLE %s PARTITION OF %I.%I DEFAULT', stray, home, parent);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', stray);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, %I', stray, home);
END
$$;

-- Makes the parts of this month and so many months ahead, as far as they are missing. Gives their number.
CREATE FUNCTION soma_month_partitions(parent text, months_ahead integer, today date DEFAULT current_date)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET lock_timeout = '3s' AS $$
DECLARE
    home text := current_schema();
    tenant text := current_setting('soma.tenant_id', true);
    known boolean;
    made integer := 0;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.partitioned_tables WHERE name = $1)', home) INTO known USING parent;
    IF NOT known THEN
        RAISE EXCEPTION 'table % is not cut by month', parent;
    END IF;
    PERFORM set_config('soma.tenant_id', '*', true);
    FOR ahead IN 0..least(months_ahead, 120) LOOP
        IF soma_make_month(parent, (date_trunc('month', today::timestamp) + ahead * interval '1 month')::date) THEN
            made := made + 1;
        END IF;
    END LOOP;
    PERFORM set_config('soma.tenant_id', coalesce(tenant, ''), true);
    RETURN made;
END
$$;

-- Drops the oldest part whose months ended by `cutoff` and that holds no row that is as young. Gives the number of its
-- rows; NULL when there is no such part.
CREATE FUNCTION soma_drop_month(parent text, cutoff timestamptz) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '3s' AS $$
DECLARE
    home text := current_schema();
    age text;
    empty boolean;
    part text;
    held bigint;
    young bigint;
BEGIN
    EXECUTE format('SELECT age_column, only_empty FROM %I.partitioned_tables WHERE name = $1', home)
        INTO age, empty USING parent;
    IF age IS NULL THEN
        RAISE EXCEPTION 'parts of table % are not dropped here', parent;
    END IF;
    FOR part IN
        SELECT format('%I.%I', home, c.relname)
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = format('%I.%I', home, parent)::regclass AND c.relname ~ '_\d{4}_\d{2}$'
          AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= cutoff
        ORDER BY c.relname
    LOOP
        -- Holds off those who would write into it, not those who read.
        EXECUTE format('LOCK TABLE %s IN SHARE MODE', part);
        EXECUTE format('SELECT count(*), count(*) FILTER (WHERE %I >= $1) FROM %s', age, part)
            INTO held, young USING cutoff;
        IF young = 0 AND (held = 0 OR NOT empty) THEN
            EXECUTE format('DROP TABLE %s', part);
            RETURN held;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    home text := current_schema();
BEGIN
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON partitioned_tables FROM %I', home);
    EXECUTE format('REVOKE ALL ON FUNCTION soma_make_month, soma_partition_by_month FROM PUBLIC, %I', home);
    EXECUTE 'REVOKE ALL ON FUNCTION soma_month_partitions, soma_drop_month FROM PUBLIC';
END
$$;

-- migrate:down
DROP FUNCTION soma_drop_month;
DROP FUNCTION soma_month_partitions;
DROP FUNCTION soma_partition_by_month;
DROP FUNCTION soma_make_month;
DROP FUNCTION soma_month_of;
DROP TABLE retention_runs;
DROP TABLE partitioned_tables;
