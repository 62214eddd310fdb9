-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_holders_due ON multimodal_assets (holders_due_at)
    WHERE holders_due_at IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_holders_due;
