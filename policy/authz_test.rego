package soma.authz_test

import data.soma.authz

asks(roles, action) := {"action": action, "subject": "s", "tenant": "t", "roles": roles, "actor": ""}

test_nobody_is_denied if not authz.allow with input as asks([], "job.read")

test_unknown_action_is_denied if not authz.allow with input as asks(["platform_admin"], "job.explode")

test_no_tenant_is_denied if {
	not authz.allow with input as {"action": "job.read", "subject": "s", "tenant": "", "roles": ["admin"], "actor": ""}
}

test_viewer_reads if authz.allow with input as asks(["viewer"], "job.read")

test_viewer_does_not_work if not authz.allow with input as asks(["viewer"], "job.create")

test_member_works if authz.allow with input as asks(["member"], "job.create")

test_member_does_not_administer if not authz.allow with input as asks(["member"], "api_key.write")

test_admin_administers if authz.allow with input as asks(["admin"], "capability.write")

test_admin_makes_no_tenants if not authz.allow with input as asks(["admin"], "tenant.write")

test_platform_admin_makes_tenants if authz.allow with input as asks(["platform_admin"], "tenant.write")

test_service_watches if authz.allow with input as asks(["service"], "capability.watch")

test_service_alone_reads_no_jobs if not authz.allow with input as asks(["service"], "job.read")

test_member_settles_nothing if not authz.allow with input as asks(["member"], "budget.settle")

test_actor_settles if {
	authz.allow with input as {"action": "budget.settle", "subject": "s", "tenant": "t", "roles": ["member"], "actor": "executor"}
}
