package soma.authz_test

import data.soma.authz

asks(roles, action) := {"action": action, "subject": "s", "tenant": "t", "roles": roles, "scopes": [], "actor": ""}

test_nobody_is_denied if not authz.allow with input as asks([], "job.read")

test_unknown_action_is_denied if not authz.allow with input as asks(["platform_admin"], "job.explode")

test_an_action_that_no_context_grants_is_denied if {
	without := object.remove(data.soma.grants, ["job.read"])
	not authz.allow with input as asks(["platform_admin"], "job.read") with data.soma.grants as without
}

test_without_grants_everything_is_denied if {
	every role in object.keys(authz.includes) {
		not authz.allow with input as asks([role], "job.read") with data.soma.grants as {}
	}
}

test_a_grant_to_a_role_that_policy_does_not_know_gives_nothing if {
	every role in ["root", "viewer"] {
		not authz.allow with input as asks([role], "note.read") with data.soma.grants as {"note.read": ["root"]}
	}
}

test_no_tenant_is_denied if {
	not authz.allow with input as {"action": "job.read", "subject": "s", "tenant": "", "roles": ["admin"], "scopes": [], "actor": ""}
}

test_viewer_reads if authz.allow with input as asks(["viewer"], "job.read")

test_viewer_does_not_work if not authz.allow with input as asks(["viewer"], "job.create")

test_member_works if authz.allow with input as asks(["member"], "job.create")

test_member_does_not_administer if not authz.allow with input as asks(["member"], "api_key.write")

test_admin_administers if authz.allow with input as asks(["admin"], "capability.write")

test_admin_makes_no_tenants if not authz.allow with input as asks(["admin"], "tenant.write")

test_platform_admin_makes_tenants if authz.allow with input as asks(["platform_admin"], "tenant.write")

test_everybody_reads_own_permissions if {
	every role in ["viewer", "member", "admin", "platform_admin"] {
		authz.allow with input as asks([role], "permission.read")
	}
}

test_permissions_are_read_on_behalf_of_anybody if {
	authz.allow with input as acts([], "permission.read")
	authz.allow with input as object.union(acts(["member"], "permission.read"), {"scopes": ["job.create"]})
}

test_service_watches if authz.allow with input as asks(["service"], "capability.watch")

test_only_services_watch_keys if {
	authz.allow with input as asks(["service"], "api_key.watch")
	not authz.allow with input as asks(["platform_admin"], "api_key.watch")
}

test_service_alone_reads_no_jobs if not authz.allow with input as asks(["service"], "job.read")

test_member_settles_nothing if not authz.allow with input as asks(["member"], "budget.settle")

test_actor_settles if {
	authz.allow with input as {"action": "budget.settle", "subject": "s", "tenant": "t", "roles": ["member"], "scopes": [], "actor": "executor"}
}

acts(roles, action) := object.union(asks(roles, action), {"actor": "executor"})

test_nobody_administers_on_behalf if {
	count(authz.administers) > 0
	every action in authz.administers {
		authz.allow with input as asks(["platform_admin"], action)
		not authz.allow with input as acts(["platform_admin"], action)
	}
}

test_nobody_makes_keys_tenants_or_tokens_on_behalf if {
	every action in {"api_key.write", "tenant.write", "token.create"} {
		authz.allow with input as asks(["platform_admin"], action)
		not authz.allow with input as acts(["platform_admin"], action)
	}
}

# What the executor does for the owner of a job.
test_jobs_are_done_on_behalf if {
	every action in {
		"selection.create", "budget.settle", "asset.create", "asset.read", "asset.delete", "evaluation.create",
		"capability.read", "capability.report_health",
	} {
		authz.allow with input as acts(["member"], action)
	}
}

narrowed(scopes, action) := object.union(asks(["member"], action), {"scopes": scopes})

test_without_scopes_nothing_is_narrowed if authz.allow with input as narrowed([], "job.read")

test_a_scope_is_what_may_be_done if authz.allow with input as narrowed(["asset.read", "job.read"], "job.read")

test_what_no_scope_names_is_denied if not authz.allow with input as narrowed(["job.read"], "job.create")

test_a_scope_gives_nothing_that_the_role_lacks if {
	not authz.allow with input as narrowed(["api_key.write"], "api_key.write")
}

test_scopes_narrow_an_actor_too if {
	settles := acts(["member"], "budget.settle")
	not authz.allow with input as object.union(settles, {"scopes": ["job.read"]})
	authz.allow with input as object.union(settles, {"scopes": ["budget.settle"]})
}

test_absent_scopes_or_actor_deny if {
	every absent in ["scopes", "actor"] {
		not authz.allow with input as object.remove(asks(["admin"], "api_key.write"), [absent])
	}
}

# What the executor does for itself within a tenant when a run is closed, and nothing else.
closes(action) := {
	"action": action, "subject": "spiffe://soma/executor", "tenant": "t", "roles": ["member"], "actor": "executor",
	"scopes": ["asset.read", "asset.delete", "budget.settle"],
}

test_executor_closes_runs if {
	every action in {"asset.read", "asset.delete", "budget.settle"} {
		authz.allow with input as closes(action)
	}
}

test_executor_closes_runs_and_no_more if {
	every action in {"asset.create", "job.create", "job.read", "selection.create", "evaluation.create"} {
		not authz.allow with input as closes(action)
	}
}
