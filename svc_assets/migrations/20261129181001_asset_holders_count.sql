-- migrate:up
-- Triggers, so that holders which an earlier version adds count as well. Who changes holders has the row of the asset
-- locked; without that the UPDATE waits for its lock and goes on from the number that it finds then. The same holds for
-- a row without a number: a change that was committed meanwhile has given it one.
SET LOCAL lock_timeout = '10s';
CREATE FUNCTION asset_holders_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE multimodal_assets a
    SET holders = coalesce(
        a.holders + CASE TG_OP WHEN 'INSERT' THEN c.changes ELSE -c.changes END,
        (SELECT count(*) FROM asset_holders h WHERE h.asset_id = a.asset_id))
    FROM (SELECT asset_id, count(*) AS changes FROM changed GROUP BY asset_id) c
    WHERE a.asset_id = c.asset_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER asset_holders_added AFTER INSERT ON asset_holders
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION asset_holders_count();
CREATE TRIGGER asset_holders_removed AFTER DELETE ON asset_holders
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION asset_holders_count();

-- migrate:down
SET LOCAL lock_timeout = '10s';
DROP TRIGGER asset_holders_removed ON asset_holders;
DROP TRIGGER asset_holders_added ON asset_holders;
DROP FUNCTION asset_holders_count();
