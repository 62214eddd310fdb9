package soma.provenance_test

import data.soma.provenance

test_a_tenant_keeps_summaries_alone if {
	not provenance.store_full_prompt with input as {"tenant": {"id": "acme"}}
}

test_a_named_tenant_keeps_whole_prompts if {
	provenance.store_full_prompt with input as {"tenant": {"id": "acme"}} with data.soma.provenance.full_prompt_tenants as {"acme"}
}

test_without_a_tenant_nothing_more_is_kept if {
	not provenance.store_full_prompt with input as {}
}
