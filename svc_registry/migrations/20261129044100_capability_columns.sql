-- migrate:up
-- Constant defaults need no rewrite. What an older release writes into `document` and `health` is moved by the next one.
ALTER TABLE multimodal_capabilities
    ADD COLUMN tenant_id text NOT NULL DEFAULT '',
    ADD COLUMN modalities text[] NOT NULL DEFAULT '{}',
    ADD COLUMN input_schema jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN output_schema jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN constraints jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN cost_tier text NOT NULL DEFAULT 'unspecified',
    ADD COLUMN health_status text NOT NULL DEFAULT 'unknown',
    ADD COLUMN health_failures integer NOT NULL DEFAULT 0,
    ADD COLUMN health_checked_at timestamptz,
    ADD COLUMN health_reason text NOT NULL DEFAULT '',
    ADD COLUMN circuit_open boolean NOT NULL DEFAULT false,
    ADD COLUMN health_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN deleted_at timestamptz;
ALTER TABLE multimodal_capabilities ALTER COLUMN health SET DEFAULT '{}';

-- migrate:down
ALTER TABLE multimodal_capabilities ALTER COLUMN health DROP DEFAULT;
ALTER TABLE multimodal_capabilities
    DROP COLUMN deleted_at,
    DROP COLUMN health_version,
    DROP COLUMN circuit_open,
    DROP COLUMN health_reason,
    DROP COLUMN health_checked_at,
    DROP COLUMN health_failures,
    DROP COLUMN health_status,
    DROP COLUMN cost_tier,
    DROP COLUMN constraints,
    DROP COLUMN output_schema,
    DROP COLUMN input_schema,
    DROP COLUMN modalities,
    DROP COLUMN tenant_id;
