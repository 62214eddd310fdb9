-- migrate:up
SET LOCAL lock_timeout = '10s';
-- Jobs that keep the text of an asset in an attempt: the same asset may be a result of several.
CREATE TABLE asset_texts (
    tenant_id text NOT NULL,
    asset_id text NOT NULL,
    plan_id uuid NOT NULL REFERENCES multimodal_job_plans ON DELETE CASCADE,
    PRIMARY KEY (tenant_id, asset_id, plan_id)
);
CREATE INDEX asset_texts_plan ON asset_texts (plan_id);
ALTER TABLE asset_texts ENABLE ROW LEVEL SECURITY;
ALTER TABLE asset_texts FORCE ROW LEVEL SECURITY;
CREATE POLICY asset_texts_tenant ON asset_texts
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- Assets that are gone: an attempt that is recorded after the erasure of its asset must not bring the text back.
CREATE TABLE erased_assets (
    tenant_id text NOT NULL,
    asset_id text NOT NULL,
    erased_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, asset_id)
);
CREATE INDEX erased_assets_age ON erased_assets (erased_at);
ALTER TABLE erased_assets ENABLE ROW LEVEL SECURITY;
ALTER TABLE erased_assets FORCE ROW LEVEL SECURITY;
CREATE POLICY erased_assets_tenant ON erased_assets
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- An erasure takes the same lock alone: either it finds the row below, or the attempt finds the asset erased.
CREATE FUNCTION keep_attempt_text() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('soma.erased_assets'), hashtext(id))
    FROM (SELECT id FROM unnest(NEW.asset_ids) AS id ORDER BY id) AS ids;
    INSERT INTO asset_texts (tenant_id, asset_id, plan_id)
    SELECT NEW.tenant_id, id, NEW.plan_id FROM unnest(NEW.asset_ids) AS id ON CONFLICT DO NOTHING;
    IF EXISTS (SELECT FROM erased_assets WHERE tenant_id = NEW.tenant_id AND asset_id = ANY(NEW.asset_ids)) THEN
        NEW.text := '';
    END IF;
    RETURN NEW;
END
$$;
CREATE FUNCTION keep_step_text() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_assets WHERE tenant_id = NEW.tenant_id AND asset_id = ANY(NEW.asset_ids)) THEN
        NEW.text := '';
        NEW.erased := true;
    END IF;
    RETURN NEW;
END
$$;

-- migrate:down
DROP FUNCTION keep_step_text;
DROP FUNCTION keep_attempt_text;
DROP TABLE erased_assets;
DROP TABLE asset_texts;
