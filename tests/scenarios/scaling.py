"""Scale-out: what grows with tables and replicas."""

from __future__ import annotations

from tests.scenarios.scenario import Scenario

SCENARIOS = (
    Scenario(
        19, "reading an asset or its lineage", "by an index",
        "tests/integration/assets/test_plans.py::test_every_statement_is_bounded_by_an_index",
        why="a plan of a statement is seen in the database alone",
    ),
    Scenario(
        21, "an OPA that hangs", "holds up only who asks it",
        "tests/unit/mesh/policy/test_central_policy.py::test_an_opa_that_hangs_holds_up_only_who_asks",
        why="a local mesh has no central OPA",
    ),
    Scenario(
        32, "calls among replicas", "shared by all",
        "tests/chaos/contexts/replicas/test_replicas.py::"
        "test_two_replicas_of_each_context_are_one_mesh_through_a_kill_of_each",
        why="this mesh has one replica of each context",
    ),
)  # fmt: skip
