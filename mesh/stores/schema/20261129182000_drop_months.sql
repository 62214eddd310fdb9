-- migrate:up
-- Whether a part holds a row that keeps it: one as young as `cutoff`, or any with `empty`. The newest rows are mostly
-- the last that were written, so the end of the table is looked at first, and the whole only when that finds nothing.
CREATE FUNCTION soma_keeps_part(part text, age text, cutoff timestamptz, empty boolean) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    pages bigint := pg_relation_size(part::regclass) / current_setting('block_size')::bigint;
    last_pages tid := format('(%s,0)', greatest(pages - 64, 0));
    found boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE ctid >= $3 AND ($2 OR %I >= $1))', part, age)
        INTO found USING cutoff, empty, last_pages;
    IF NOT found THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE $2 OR %I >= $1)', part, age) INTO found USING cutoff, empty;
    END IF;
    RETURN found;
END
$$;

-- Drops the oldest part whose months ended by `cutoff` and that holds no row that is as young. Gives the number of its
-- rows; NULL when there is no such part. A part that stays is neither locked nor counted.
CREATE OR REPLACE FUNCTION soma_drop_month(parent text, cutoff timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
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
        CONTINUE WHEN soma_keeps_part(part, age, cutoff, empty);
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
BEGIN
    EXECUTE format('REVOKE ALL ON FUNCTION soma_keeps_part FROM PUBLIC, %I', current_schema());
END
$$;

-- migrate:down
-- Drops the oldest part whose months ended by `cutoff` and that holds no row that is as young. Gives the number of its
-- rows; NULL when there is no such part.
CREATE OR REPLACE FUNCTION soma_drop_month(parent text, cutoff timestamptz) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
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
DROP FUNCTION soma_keeps_part;
