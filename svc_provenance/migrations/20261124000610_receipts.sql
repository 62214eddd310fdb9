-- migrate:up
SET LOCAL soma.tenant_id = '*';
CREATE TABLE receipts (
    receipt_id        uuid NOT NULL,
    tenant_id         text NOT NULL,
    job_id            text NOT NULL,
    -- soma_month_of(job_id).
    month             date NOT NULL,
    form              text NOT NULL CHECK (form IN ('compact', 'full')),
    causes            text[] NOT NULL,
    state             text NOT NULL,
    path              text NOT NULL,
    predicted_quality double precision,
    observed_quality  double precision,
    criterion_scores  jsonb NOT NULL,
    degradation_level integer NOT NULL,
    candidates        integer NOT NULL,
    confidence        double precision NOT NULL,
    attempts          integer NOT NULL,
    fallbacks         integer NOT NULL,
    reworks           integer NOT NULL,
    latency_ms        bigint NOT NULL,
    provider_ms       bigint NOT NULL,
    cost_micro_usd    bigint NOT NULL,
    trace_digest      text NOT NULL,
    asset_digests     jsonb NOT NULL,
    policy_ids        text[] NOT NULL,
    trace_ids         text[] NOT NULL,
    complete          boolean NOT NULL,
    ended_at          timestamptz NOT NULL,
    -- Attempts of a full receipt; empty in a compact one.
    attempt_details   jsonb NOT NULL,
    PRIMARY KEY (tenant_id, job_id, month)
) PARTITION BY RANGE (month);
COMMENT ON TABLE receipts IS 'One row for each job that ended: figures, hashes and pointers, no content.';
CREATE INDEX receipts_id ON receipts (receipt_id);
CREATE INDEX receipts_newest ON receipts (tenant_id, ended_at DESC, receipt_id DESC);
SELECT soma_partition_by_month('receipts', 'ended_at');
SELECT soma_month_partitions('receipts', 3);
ALTER TABLE receipts ENABLE ROW LEVEL SECURITY;
ALTER TABLE receipts FORCE ROW LEVEL SECURITY;
CREATE POLICY receipts_tenant ON receipts USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- Jobs whose receipt is to be written, or written again: the queue that outlives the process.
CREATE TABLE receipts_due (
    tenant_id  text NOT NULL,
    job_id     text NOT NULL,
    -- Number of the newest news; who wrote a receipt from older ones leaves the row.
    news       bigint NOT NULL DEFAULT 1,
    tries      integer NOT NULL DEFAULT 0,
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, job_id)
);
CREATE INDEX receipts_due_next ON receipts_due (not_before);
ALTER TABLE receipts_due ENABLE ROW LEVEL SECURITY;
ALTER TABLE receipts_due FORCE ROW LEVEL SECURITY;
CREATE POLICY receipts_due_tenant ON receipts_due USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- A job's end makes its receipt due; so does news of a job that has one, or whose receipt is due already.
CREATE FUNCTION receipts_due_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'job' AND (NEW.summary->>'ended')::boolean OR EXISTS (
        SELECT FROM receipts WHERE tenant_id = NEW.tenant_id AND job_id = NEW.job_id AND month = NEW.month
    ) THEN
        INSERT INTO receipts_due AS d (tenant_id, job_id) VALUES (NEW.tenant_id, NEW.job_id)
        ON CONFLICT (tenant_id, job_id) DO UPDATE SET news = d.news + 1, not_before = clock_timestamp();
    ELSE
        UPDATE receipts_due SET news = news + 1, not_before = clock_timestamp()
        WHERE tenant_id = NEW.tenant_id AND job_id = NEW.job_id;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    PERFORM pg_notify(TG_TABLE_SCHEMA || '.receipts_due', NEW.tenant_id || E'\n' || NEW.job_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER receipts_due_tell AFTER INSERT OR UPDATE ON trace_facts FOR EACH ROW EXECUTE FUNCTION receipts_due_tell();
INSERT INTO receipts_due (tenant_id, job_id)
SELECT tenant_id, job_id FROM trace_facts WHERE kind = 'job' AND (summary->>'ended')::boolean;

-- migrate:down
DROP TRIGGER receipts_due_tell ON trace_facts;
DROP FUNCTION receipts_due_tell();
DROP TABLE receipts_due;
DROP TABLE receipts;
DELETE FROM partitioned_tables WHERE name = 'receipts';
