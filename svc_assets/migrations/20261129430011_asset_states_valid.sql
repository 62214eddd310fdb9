-- migrate:up transaction:false
ALTER TABLE multimodal_assets VALIDATE CONSTRAINT multimodal_assets_states;

-- migrate:down transaction:false
SELECT 1;
