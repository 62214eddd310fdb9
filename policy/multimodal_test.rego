package soma.multimodal_test

import data.soma.multimodal

local := {"capability_id": "d2@local", "tool_id": "d2", "provider": "local", "cost_micro_usd": 0, "cost_tier": "free", "needs_egress": false, "classifications": []}

remote := {"capability_id": "dalle3@openai", "tool_id": "dalle3", "provider": "openai", "cost_micro_usd": 40000, "cost_tier": "medium", "needs_egress": true, "classifications": ["public", "internal", "sensitive"]}

video := {"capability_id": "gen3@runway", "tool_id": "gen3", "provider": "runway", "cost_micro_usd": 500000, "cost_tier": "high", "needs_egress": true, "classifications": []}

request(modality, plan, classification, cap, candidates) := {
	"profile": "production", "modality": modality, "classification": classification, "max_cost_micro_usd": cap, "max_cost_tier": "",
	"tenant": {"id": "t", "plan": plan, "permissions": {}},
	"subject": {"id": "s", "roles": ["member"], "persona": "", "capsule": ""},
	"candidates": candidates,
}

codes(verdicts, id) := {d.code | some d in verdicts[id]}

test_local_diagram_is_allowed if {
	v := multimodal.verdicts with input as request("diagram", "pro", "internal", 0, [local])
	v == {"d2@local": []}
}

test_unknown_plan_is_denied if {
	v := multimodal.verdicts with input as request("diagram", "trial", "internal", 0, [local])
	codes(v, "d2@local") == {"PLAN_NOT_ALLOWED"}
}

test_unnamed_image_provider_is_denied if {
	v := multimodal.verdicts with input as request("image", "pro", "internal", 0, [object.union(remote, {"provider": "other"})])
	codes(v, "dalle3@openai") == {"PROVIDER_NOT_ALLOWED"}
}

test_named_image_provider_is_allowed if {
	v := multimodal.verdicts with input as request("image", "pro", "internal", 0, [remote])
	codes(v, "dalle3@openai") == set()
}

test_remote_video_is_for_enterprise if {
	v := multimodal.verdicts with input as request("video", "pro", "internal", 0, [video])
	codes(v, "gen3@runway") == {"PROVIDER_NOT_ALLOWED"}
	e := multimodal.verdicts with input as request("video", "enterprise", "internal", 0, [video])
	codes(e, "gen3@runway") == set()
}

test_cost_above_the_cap_is_denied if {
	v := multimodal.verdicts with input as request("image", "pro", "internal", 39999, [remote])
	codes(v, "dalle3@openai") == {"OVER_REQUEST_BUDGET"}
}

test_sensitive_data_stays_in_the_house if {
	v := multimodal.verdicts with input as request("image", "pro", "sensitive", 0, [remote])
	codes(v, "dalle3@openai") == {"CLASSIFICATION_NOT_ALLOWED"}
}

test_unlisted_classification_is_denied if {
	v := multimodal.verdicts with input as request("diagram", "pro", "confidential", 0, [local])
	codes(v, "d2@local") == {"CLASSIFICATION_NOT_ALLOWED"}
}

test_tenant_permission_is_heeded if {
	r := request("diagram", "pro", "internal", 0, [local])
	v := multimodal.verdicts with input as object.union(r, {"tenant": {"id": "t", "plan": "pro", "permissions": {"denied_tools": ["d2"]}}})
	codes(v, "d2@local") == {"TENANT_PERMISSION"}
}

test_each_candidate_has_its_verdict if {
	v := multimodal.verdicts with input as request("image", "pro", "sensitive", 1, [remote, object.union(local, {"classifications": ["sensitive"]})])
	count(v) == 2
	codes(v, "d2@local") == set()
}

test_absent_permissions_deny if {
	without := object.remove(request("diagram", "pro", "internal", 0, [local]), ["tenant"])
	v := multimodal.verdicts with input as object.union(without, {"tenant": {"id": "t", "plan": "pro"}})
	codes(v, "d2@local") == {"OVER_COST_TIER", "TENANT_PERMISSION"}
}

test_permissions_that_are_no_lists_deny if {
	every denied in [{"denied_providers": null}, {"denied_tools": "d2"}] {
		given := object.union(request("diagram", "pro", "internal", 0, [local]), {"tenant": {"permissions": denied}})
		v := multimodal.verdicts with input as given
		codes(v, "d2@local") == {"TENANT_PERMISSION"}
	}
}

test_an_absent_modality_denies if {
	v := multimodal.verdicts with input as object.remove(request("diagram", "pro", "internal", 0, [local]), ["modality"])
	codes(v, "d2@local") == {"PROVIDER_NOT_ALLOWED"}
}

test_what_does_not_say_whether_it_leaves_the_house_is_denied_sensitive_data if {
	silent := object.remove(object.union(remote, {"provider": "local"}), ["needs_egress"])
	v := multimodal.verdicts with input as request("image", "pro", "sensitive", 0, [silent])
	codes(v, "dalle3@openai") == {"CLASSIFICATION_NOT_ALLOWED"}
}

test_data_of_a_classification_that_policy_does_not_know_stays_in_the_house if {
	listed := object.union(remote, {"classifications": ["restricted"]})
	v := multimodal.verdicts with input as request("image", "pro", "restricted", 0, [listed])
	codes(v, "dalle3@openai") == {"CLASSIFICATION_NOT_ALLOWED"}
	stays := object.union(local, {"classifications": ["restricted"]})
	w := multimodal.verdicts with input as request("image", "pro", "restricted", 0, [stays])
	codes(w, "d2@local") == set()
}

planned(plan, profile) := object.union(request("diagram", plan, "internal", 0, [local]), {"profile": profile})

test_pro_and_enterprise_are_allowed_in_every_profile if {
	every plan in ["pro", "enterprise"] {
		every profile in ["production", "dev", "test"] {
			multimodal.allow_multimodal with input as planned(plan, profile)
		}
	}
}

test_the_plan_for_development_is_allowed_in_development_and_tests_alone if {
	multimodal.allow_multimodal with input as planned("dev", "dev")
	multimodal.allow_multimodal with input as planned("dev", "test")
	not multimodal.allow_multimodal with input as planned("dev", "production")
	not multimodal.allow_multimodal with input as object.remove(planned("dev", "dev"), ["profile"])
}

test_no_plan_is_denied if {
	every plan in ["", "none", null] {
		not multimodal.allow_multimodal with input as planned(plan, "dev")
	}
}

limited(of_request, of_tenant, tier) := object.union(
	request("image", "pro", "internal", 0, [object.union(remote, {"cost_tier": tier})]),
	{"max_cost_tier": of_request, "tenant": {"permissions": {"max_cost_tier": of_tenant}}},
)

over_tier(given) if {
	v := multimodal.verdicts with input as given
	codes(v, "dalle3@openai") == {"OVER_COST_TIER"}
}

test_a_tier_above_the_limit_of_the_request_is_denied if {
	over_tier(limited("low", "", "medium"))
	not over_tier(limited("medium", "", "medium"))
}

test_a_tier_above_the_limit_of_the_tenant_is_denied if {
	over_tier(limited("", "low", "medium"))
	not over_tier(limited("", "medium", "medium"))
}

test_the_lower_of_two_limits_holds if {
	over_tier(limited("premium", "low", "medium"))
	over_tier(limited("low", "premium", "medium"))
}

test_tiers_are_ordered if {
	order := ["free", "low", "medium", "high", "premium"]
	every i, limit in order {
		every j, tier in order {
			over_tier(limited(limit, "", tier)) == (j > i)
		}
	}
}

default over_tier(_) := false

test_what_names_no_known_tier_counts_as_the_highest if {
	every tier in ["", "platinum"] {
		over_tier(limited("high", "", tier))
		not over_tier(limited("premium", "", tier))
		not over_tier(limited("", "", tier))
	}
}

test_an_unknown_limit_denies if over_tier(limited("cheap", "", "free"))

test_absent_tiers_deny if {
	over_tier(object.remove(limited("", "", "free"), ["max_cost_tier"]))
	silent := object.remove(object.union(remote, {"cost_tier": ""}), ["cost_tier"])
	over_tier(request("image", "pro", "internal", 0, [silent]))
}
