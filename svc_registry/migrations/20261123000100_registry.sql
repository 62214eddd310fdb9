-- migrate:up
CREATE TABLE multimodal_capabilities (
    capability_id text PRIMARY KEY,
    tool_id       text NOT NULL,
    provider      text NOT NULL,
    version       bigint NOT NULL,
    document      jsonb NOT NULL,
    health        jsonb NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    UNIQUE (tool_id, provider)
);
COMMENT ON TABLE multimodal_capabilities IS 'Models and tools; shared by all tenants, who sees one is in its document.';

CREATE TABLE ladders (
    tenant_id      text NOT NULL,
    modality       text NOT NULL,
    task_type      text NOT NULL,
    capability_ids text[] NOT NULL,
    version        bigint NOT NULL,
    updated_by     text NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, modality, task_type)
);
COMMENT ON COLUMN ladders.tenant_id IS 'Empty for the platform''s own list.';

CREATE TABLE registrations (
    tenant_id     text NOT NULL,
    request_id    text NOT NULL,
    digest        text NOT NULL,
    capability_id text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, request_id)
);

-- migrate:down
DROP TABLE registrations;
DROP TABLE ladders;
DROP TABLE multimodal_capabilities;
