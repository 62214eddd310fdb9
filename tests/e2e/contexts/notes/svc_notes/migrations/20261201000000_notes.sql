-- migrate:up
CREATE TABLE notes (
    tenant_id  text NOT NULL,
    note_id    uuid NOT NULL,
    request_id text NOT NULL,
    text       text NOT NULL,
    announced  boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, note_id),
    UNIQUE (tenant_id, request_id)
);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY notes_tenant ON notes
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- migrate:down
DROP TABLE notes;
