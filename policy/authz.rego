# Who may call which action. Input: {"action": "job.create", "subject": "...", "roles": [...], "scopes": [...], "tenant": "...",
# "actor": "..."}.
package soma.authz

default allow := false

# What each role includes. Which of them may perform an action is declared by the context whose methods require it
# (`grants` in svc_<name>/context.py): data.soma.grants has the least roles by action, and docs/operations/grants.md
# shows what comes of it.
includes := {
	"viewer": {"viewer"},
	"member": {"viewer", "member"},
	"admin": {"viewer", "member", "admin"},
	"platform_admin": {"viewer", "member", "admin", "platform_admin"},
	"service": {"service"},
}

granted(role, action) if {
	some least in data.soma.grants[action]
	least in includes[role]
}

# What no role below an administrator may do.
administers contains action if {
	some action, roles in data.soma.grants
	some role in roles
	role in {"admin", "platform_admin"}
}

# A service acting on behalf of a subject may also settle what that subject's work reserved.
on_behalf := {"budget.settle", "capability.report_health"}

# What a service on behalf of a subject needs to know to enforce it, whatever the subject's roles and scopes are.
known_on_behalf := {"permission.read"}

# What nobody does on behalf of somebody: it would outlive the work, or reach beyond it.
never_on_behalf := administers | {"token.create"}

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
	granted(role, input.action)
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
