-- migrate:up
-- Each value moves to its column: nothing is in two places. A capability that one tenant alone may use was its own.
UPDATE multimodal_capabilities
SET tenant_id = CASE WHEN jsonb_array_length(document #> '{allow,tenants}') = 1
        THEN document #>> '{allow,tenants,0}' ELSE '' END,
    modalities = ARRAY(SELECT jsonb_array_elements_text(document -> 'modalities')),
    input_schema = coalesce(document -> 'input_schema', '{}'),
    output_schema = coalesce(document -> 'output_schema', '{}'),
    constraints = coalesce(document -> 'constraints', '{}'),
    cost_tier = coalesce(document ->> 'cost_tier', 'unspecified'),
    document = CASE WHEN jsonb_array_length(document #> '{allow,tenants}') = 1
        THEN document #- '{allow,tenants}' ELSE document END
        - ARRAY['tool_id', 'provider', 'modalities', 'input_schema', 'output_schema', 'constraints', 'cost_tier'],
    health_status = coalesce(health ->> 'state', 'unknown'),
    health_failures = coalesce((health ->> 'failure_count')::integer, 0),
    health_checked_at = (health ->> 'checked_at')::timestamptz,
    health_reason = coalesce(health ->> 'reason', ''),
    circuit_open = coalesce((health ->> 'circuit_open')::boolean, false)
WHERE document ? 'modalities';

-- migrate:down
UPDATE multimodal_capabilities
SET document = document
        || jsonb_build_object(
            'tool_id', tool_id, 'provider', provider, 'modalities', to_jsonb(modalities),
            'input_schema', input_schema, 'output_schema', output_schema, 'constraints', constraints,
            'cost_tier', cost_tier)
        || CASE WHEN tenant_id = '' THEN '{}'::jsonb ELSE jsonb_build_object(
            'allow', coalesce(document -> 'allow', '{}') || jsonb_build_object('tenants', jsonb_build_array(tenant_id)))
        END,
    health = jsonb_build_object(
        'state', health_status, 'failure_count', health_failures, 'checked_at', health_checked_at,
        'reason', health_reason, 'circuit_open', circuit_open);
