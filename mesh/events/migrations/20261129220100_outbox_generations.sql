-- migrate:up
-- Each loss of the bus's memory begins a generation. Sent events of an earlier one are sent again in the order of their
-- ids: those behind `resend_after`, up to `resend_until`, the last there was when the loss was noticed.
ALTER TABLE outbox ADD COLUMN generation integer NOT NULL DEFAULT 0;
ALTER TABLE outbox_bus
    ADD COLUMN generation integer NOT NULL DEFAULT 0,
    ADD COLUMN resend_after bigint NOT NULL DEFAULT 0,
    ADD COLUMN resend_until bigint NOT NULL DEFAULT 0;
-- Every row is updated once and removed a day later: dead rows at the head of the unsent ones cost each batch a search.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- migrate:down
ALTER TABLE outbox RESET (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor);
ALTER TABLE outbox_bus
    DROP COLUMN resend_until,
    DROP COLUMN resend_after,
    DROP COLUMN generation;
ALTER TABLE outbox DROP COLUMN generation;
