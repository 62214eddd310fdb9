"""Capabilities and ladders: a case of each method whose request has an id."""

from __future__ import annotations

from tests.e2e.contexts.request_ids.api import Api, Case, Json, unused


def capability(name: str, **fields: object) -> Json:
    return {
        "tool_id": name, "provider": "dev", "kind": "CAPABILITY_KIND_TOOL", "modalities": ["MODALITY_TOOL"],
        "task_types": ["once"], "allow": {"tenants": ["dev"]},
        "price_list": {"prices": [{"unit": "PRICE_UNIT_CALL", "micro_usd": 5}]}, **fields,
    }  # fmt: skip


def registered(api: Api) -> Json:
    wanted = {"capability": capability(unused("once"))}
    return api("registry.v1.CapabilityService.RegisterCapability", wanted)


def read_capability(made: Json) -> tuple[str, Json]:
    return "registry.v1.CapabilityService.GetCapability", {"capability_id": made["capability_id"]}


def register(api: Api) -> Case:
    name = unused("once")
    return Case(
        {"capability": capability(name)}, {"capability": capability(name, description="other")}, "capability_id",
        read_capability({"capability_id": f"{name}@dev"}),
        lambda _: api(
            "registry.v1.CapabilityService.RegisterCapability", {"capability": capability(name, description="later")}
        ),
    )  # fmt: skip


def update(api: Api) -> Case:
    made = registered(api)
    id_ = made["capability_id"]

    def change(text: str) -> Json:
        changed = {"tool_id": made["tool_id"], "description": text}
        return {"capability_id": id_, "capability": changed, "update_mask": "description"}

    later = change("later")
    return Case(
        change("one"), change("other"), "capability_id", read_capability(made),
        lambda _: api("registry.v1.CapabilityService.UpdateCapability", later),
    )  # fmt: skip


def disable(api: Api) -> Case:
    made, other = registered(api), registered(api)
    activate = {"tool_id": made["tool_id"], "lifecycle": "LIFECYCLE_ACTIVE"}
    back = {"capability_id": made["capability_id"], "capability": activate, "update_mask": "lifecycle"}
    return Case(
        {"capability_id": made["capability_id"]}, {"capability_id": other["capability_id"]}, "capability_id",
        read_capability(made), lambda _: api("registry.v1.CapabilityService.UpdateCapability", back),
    )  # fmt: skip


def reset(api: Api) -> Case:
    made, other = registered(api), registered(api)
    return Case(
        {"capability_id": made["capability_id"]}, {"capability_id": other["capability_id"]}, "capability_id",
        read_capability(made),
    )  # fmt: skip


def delete(api: Api) -> Case:
    made, other = registered(api), registered(api)
    return Case(
        {"capability_id": made["capability_id"]}, {"capability_id": other["capability_id"]}, "capability_id",
        read_capability(other),
    )  # fmt: skip


def ladder(api: Api) -> Case:
    task_type = unused("once").replace("-", "_")
    ids = [str(registered(api)["capability_id"]) for _ in range(2)]

    def rungs(*wanted: str) -> Json:
        return {"ladder": {"modality": "MODALITY_TOOL", "task_type": task_type, "capability_ids": list(wanted)}}

    read = {"modality": "MODALITY_TOOL", "task_type": task_type}
    return Case(
        rungs(ids[0]), rungs(*ids), "task_type", ("registry.v1.CapabilityService.GetLadder", read),
        lambda _: api("registry.v1.CapabilityService.SetLadder", rungs(ids[1])),
    )  # fmt: skip


CASES = {
    "registry.v1.CapabilityService.RegisterCapability": register,
    "registry.v1.CapabilityService.UpdateCapability": update,
    "registry.v1.CapabilityService.DisableCapability": disable,
    "registry.v1.CapabilityService.DeleteCapability": delete,
    "registry.v1.CapabilityService.ResetFailures": reset,
    "registry.v1.CapabilityService.SetLadder": ladder,
}
