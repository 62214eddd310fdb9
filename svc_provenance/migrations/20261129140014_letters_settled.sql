-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY dlq_messages_settled_by_tenant ON dlq_messages (tenant_id, updated_at)
WHERE state IN ('resolved', 'discarded', 'expired');

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY dlq_messages_settled_by_tenant;
