-- migrate:up
-- Facts of traces by the month of their job, so that a month is dropped whole. All facts of a job are in one part.
SET LOCAL soma.tenant_id = '*';
ALTER TABLE trace_facts RENAME TO trace_facts_before;
ALTER TABLE trace_facts_before RENAME CONSTRAINT trace_facts_pkey TO trace_facts_before_pkey;
ALTER TABLE trace_facts_before RENAME CONSTRAINT trace_facts_kind_check TO trace_facts_before_kind_check;

CREATE TABLE trace_facts (
    tenant_id   text NOT NULL,
    job_id      text NOT NULL,
    -- soma_month_of(job_id).
    month       date NOT NULL,
    kind        text NOT NULL
        CONSTRAINT trace_facts_kind_check CHECK (kind IN ('selection', 'execution', 'evaluation', 'asset', 'job')),
    fact_id     text NOT NULL,
    occurred_at timestamptz NOT NULL,
    summary     jsonb NOT NULL,
    document    bytea NOT NULL,
    CONSTRAINT trace_facts_pkey PRIMARY KEY (tenant_id, job_id, kind, fact_id, month)
) PARTITION BY RANGE (month);
COMMENT ON COLUMN trace_facts.document IS 'The message of the fact, redacted.';
SELECT soma_partition_by_month('trace_facts', 'occurred_at');
SELECT soma_make_month('trace_facts', month)
FROM (SELECT DISTINCT soma_month_of(job_id) AS month FROM trace_facts_before) AS m WHERE month > '1970-01-01';
SELECT soma_month_partitions('trace_facts', 3);
INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document)
SELECT tenant_id, job_id, soma_month_of(job_id), kind, fact_id, occurred_at, summary, document FROM trace_facts_before;
DROP TABLE trace_facts_before;

ALTER TABLE trace_facts ENABLE ROW LEVEL SECURITY;
ALTER TABLE trace_facts FORCE ROW LEVEL SECURITY;
CREATE POLICY trace_facts_tenant ON trace_facts USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

-- migrate:down
SET LOCAL soma.tenant_id = '*';
CREATE TABLE trace_facts_after (
    tenant_id   text NOT NULL,
    job_id      text NOT NULL,
    kind        text NOT NULL,
    fact_id     text NOT NULL,
    occurred_at timestamptz NOT NULL,
    summary     jsonb NOT NULL,
    document    bytea NOT NULL
);
INSERT INTO trace_facts_after
SELECT tenant_id, job_id, kind, fact_id, occurred_at, summary, document FROM trace_facts;
DROP TABLE trace_facts;
DELETE FROM partitioned_tables WHERE name = 'trace_facts';
ALTER TABLE trace_facts_after RENAME TO trace_facts;
ALTER TABLE trace_facts ADD CONSTRAINT trace_facts_pkey PRIMARY KEY (tenant_id, job_id, kind, fact_id);
ALTER TABLE trace_facts ADD CONSTRAINT trace_facts_kind_check
    CHECK (kind IN ('selection', 'execution', 'evaluation', 'asset', 'job'));
ALTER TABLE trace_facts ENABLE ROW LEVEL SECURITY;
ALTER TABLE trace_facts FORCE ROW LEVEL SECURITY;
CREATE POLICY trace_facts_tenant ON trace_facts USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
