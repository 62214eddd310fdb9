# Which capabilities a tenant may use for a step, all candidates in one evaluation. Default deny: each rule names what
# lets a candidate pass, so that input that is absent, or not what it should be, denies it.
#
# Input: {"profile": "production", "modality": "image", "classification": "internal", "max_cost_micro_usd": 0,
#         "max_cost_tier": "",
#         "tenant": {"id": "...", "plan": "pro",
#                    "permissions": {"denied_providers": [], "denied_tools": [], "max_cost_tier": ""}},
#         "subject": {"id": "...", "roles": [...], "persona": "", "capsule": ""},
#         "candidates": [{"capability_id": "...", "tool_id": "...", "provider": "...", "cost_micro_usd": 0,
#                         "cost_tier": "low", "needs_egress": false, "classifications": []}]}
package soma.multimodal

plans := {"pro", "enterprise"}

default allow_multimodal := false

allow_multimodal if input.tenant.plan in plans

# The plan for development is none in production.
allow_multimodal if {
	input.tenant.plan == "dev"
	input.profile in {"dev", "test"}
}

# Providers that policy knows for a modality; a modality that is not named is open to every registered provider.
providers := {
	"image": {"openai", "stability", "local"},
	"video": {"runway", "pika", "local"},
}

allow_provider(candidate) if {
	is_string(input.modality)
	is_string(candidate.provider)
	not providers[input.modality]
}

allow_provider(candidate) if {
	candidate.provider in providers[input.modality]
	not enterprise_only(candidate)
}

allow_provider(candidate) if {
	candidate.provider in providers[input.modality]
	input.tenant.plan == "enterprise"
}

enterprise_only(candidate) if {
	input.modality == "video"
	candidate.provider in {"runway", "pika"}
}

within_budget(candidate) if input.max_cost_micro_usd == 0

within_budget(candidate) if candidate.cost_micro_usd <= input.max_cost_micro_usd

cost_tiers := {"free": 1, "low": 2, "medium": 3, "high": 4, "premium": 5}

# What names no tier, or one that policy does not know, may cost anything: it counts as the highest.
tier(candidate) := object.get(cost_tiers, candidate.cost_tier, cost_tiers.premium)

within_limit(_, limit) if limit == ""

within_limit(candidate, limit) if tier(candidate) <= cost_tiers[limit]

within_cost_tier(candidate) if {
	is_string(candidate.cost_tier)
	within_limit(candidate, input.max_cost_tier)
	within_limit(candidate, object.get(input.tenant.permissions, "max_cost_tier", ""))
}

default_classifications := {"public", "internal"}

sees(candidate) := default_classifications if count(candidate.classifications) == 0

sees(candidate) := candidate.classifications if count(candidate.classifications) > 0

# Data of any other classification stays in the house.
stays_or_may_leave(candidate) if candidate.needs_egress == false

stays_or_may_leave(_) if input.classification in default_classifications

denied_by_tenant(kind) := object.get(input.tenant.permissions, kind, [])

permitted(candidate) if {
	is_array(denied_by_tenant("denied_providers"))
	is_array(denied_by_tenant("denied_tools"))
	is_string(candidate.provider)
	is_string(candidate.tool_id)
	not candidate.provider in denied_by_tenant("denied_providers")
	not candidate.tool_id in denied_by_tenant("denied_tools")
}

denials(candidate) := [d |
	some d in [
		{"code": "PLAN_NOT_ALLOWED", "reason": "the tenant's plan does not include multimodal capabilities", "hit": plan_denied},
		{"code": "PROVIDER_NOT_ALLOWED", "reason": "policy does not allow this provider for the modality and plan", "hit": provider_denied(candidate)},
		{"code": "OVER_REQUEST_BUDGET", "reason": "its cost is above the cap of this request", "hit": budget_denied(candidate)},
		{"code": "OVER_COST_TIER", "reason": "its cost tier is above the limit of the tenant or of this request", "hit": cost_tier_denied(candidate)},
		{"code": "CLASSIFICATION_NOT_ALLOWED", "reason": "it may not see data of this classification", "hit": classification_denied(candidate)},
		{"code": "TENANT_PERMISSION", "reason": "the tenant's permissions exclude it", "hit": permission_denied(candidate)},
	]
	d.hit
]

default plan_denied := true

plan_denied := false if allow_multimodal

default provider_denied(_) := true

provider_denied(candidate) := false if allow_provider(candidate)

default budget_denied(_) := true

budget_denied(candidate) := false if within_budget(candidate)

default cost_tier_denied(_) := true

cost_tier_denied(candidate) := false if within_cost_tier(candidate)

default classification_denied(_) := true

classification_denied(candidate) := false if {
	input.classification in sees(candidate)
	stays_or_may_leave(candidate)
}

default permission_denied(_) := true

permission_denied(candidate) := false if permitted(candidate)

# capability_id to the reasons it is denied; an empty list allows. A candidate without an entry is denied.
verdicts[id] := denied if {
	some candidate in input.candidates
	id := candidate.capability_id
	denied := [{"code": d.code, "reason": d.reason} | some d in denials(candidate)]
}
