-- migrate:up
-- Who reports a circuit open, and until when that holds: { "<reporter>": "<moment>" }. A constant default needs no rewrite.
ALTER TABLE multimodal_capabilities ADD COLUMN open_circuits jsonb NOT NULL DEFAULT '{}';

-- migrate:down
ALTER TABLE multimodal_capabilities DROP COLUMN open_circuits;
