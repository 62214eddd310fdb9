# Who may call which action. Input: {"action": "job.create", "subject": "...", "roles": [...], "scopes": [...], "tenant": "...",
# "actor": "..."}.
package soma.authz

default allow := false

reads := {
	"capability.read", "ladder.read", "selection.read", "budget.read", "job.read", "asset.read",
	"evaluation.read", "rubric.read", "provenance.read", "trace.read", "health.read", "tenant.read",
	"token.create", "plan.validate", "permission.read",
}

works := {"selection.create", "job.create", "job.cancel", "asset.create", "asset.delete", "evaluation.create"}

administers := {
	"capability.write", "ladder.write", "budget.write", "rubric.write", "api_key.read", "api_key.write",
	"asset.erase", "audit.read", "dead_letter.read", "dead_letter.write", "receipt.read", "retention.read", "retention.write",
}

platform := {"tenant.write"}

internal := {
	"capability.report_health", "capability.watch", "capability.write", "budget.settle", "revocation.watch",
	"api_key.watch", "tenant.read", "capability.read", "ladder.read", "health.read",
}

granted := {
	"viewer": reads,
	"member": reads | works,
	"admin": (reads | works) | administers,
	"platform_admin": ((reads | works) | administers) | platform,
	"service": internal,
}

# A service acting on behalf of a subject may also settle what that subject's work reserved.
on_behalf := {"budget.settle", "capability.report_health"}

# What a service on behalf of a subject needs to know to enforce it, whatever the subject's roles and scopes are.
known_on_behalf := {"permission.read"}

# What nobody does on behalf of somebody: it would outlive the work, or reach beyond it.
never_on_behalf := (administers | platform) | {"token.create"}

for_itself if input.actor == ""

delegated if input.actor != ""

fit_to_delegate if for_itself

fit_to_delegate if {
	delegated
	not input.action in never_on_behalf
}

# A credential that carries scopes may do what they name, and nothing else.
in_scope if count(input.scopes) == 0

in_scope if input.action in input.scopes

allow if {
	input.tenant != ""
	some role in input.roles
	input.action in granted[role]
	fit_to_delegate
	in_scope
}

allow if {
	input.tenant != ""
	delegated
	input.action in on_behalf
	in_scope
}

allow if {
	input.tenant != ""
	delegated
	input.action in known_on_behalf
}
