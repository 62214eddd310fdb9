"""The lineage of an asset as a W3C PROV-JSON document (W3C Submission of 24 April 2013).

Entities are assets, activities are the executions that made them. Agents are the subjects on whose behalf, the
capabilities that did the work, and the models they used; the last two are software agents.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pydantic import JsonValue

    from svc_provenance.domain.asset_records import Provenance
    from svc_provenance.domain.model import JsonObject

PREFIXES = {
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "soma": "urn:soma:term:",
    "asset": "urn:soma:asset:",
    "execution": "urn:soma:execution:",
    "subject": "urn:soma:subject:",
    "capability": "urn:soma:capability:",
    "model": "urn:soma:model:",
}


def prov_json(asset: Provenance, ancestors: Sequence[Provenance]) -> JsonObject:
    """Returns the document of an asset and of all that it was made from; equal for an equal lineage."""
    document = _Document()
    by_id = {provenance.asset_id: provenance for provenance in (asset, *ancestors)}
    for provenance in by_id.values():
        document.add_asset(provenance, by_id)
    return document.json()


class _Document:
    """Statements by their kind and id; one that is added twice is there once."""

    def __init__(self) -> None:
        self._statements: dict[str, dict[str, JsonObject]] = {}

    def json(self) -> JsonObject:
        """Returns the document; kinds without a statement are left out."""
        prefixes: JsonObject = dict(PREFIXES)
        return {"prefix": prefixes, **{kind: dict(items) for kind, items in self._statements.items()}}

    def _add(self, kind: str, id_: str, **attributes: JsonValue) -> None:
        statement: JsonObject = {
            name.replace("__", ":", 1): value for name, value in attributes.items() if value not in ("", None)
        }
        self._statements.setdefault(kind, {}).setdefault(id_, {}).update(statement)

    def _relate(self, kind: str, **attributes: JsonValue) -> None:
        """Adds a relation; its id consists of the names that it relates."""
        names = [
            value.replace(":", "-")
            for name, value in attributes.items()
            if isinstance(value, str) and name != "prov__time"
        ]
        self._add(kind, f"_:{kind}-{'-'.join(names)}", **attributes)

    def add_asset(self, provenance: Provenance, by_id: dict[str, Provenance]) -> None:
        """Adds an asset, the execution that made it, and its parents."""
        entity = _name("asset", provenance.asset_id)
        self._entity(entity, provenance)
        for parent in provenance.parent_ids:
            self._add("entity", _name("asset", parent))
        if provenance.execution_id:
            self._execution(entity, provenance)
        elif provenance.subject:
            subject = self._subject(provenance.subject)
            self._relate("wasAttributedTo", prov__entity=entity, prov__agent=subject)
        for parent in provenance.parent_ids:
            self._derived(entity, provenance, parent, by_id.get(parent))
        if provenance.deleted_at is not None:
            self._relate("wasInvalidatedBy", prov__entity=entity, prov__time=_time(provenance.deleted_at))

    def _entity(self, entity: str, provenance: Provenance) -> None:
        self._add(
            "entity",
            entity,
            prov__type=_typed(f"soma:{_local(provenance.asset_type)}") if provenance.asset_type else None,
            soma__media_type=provenance.media_type,
            soma__sha256=provenance.checksum,
            soma__create_time=_typed_time(provenance.created_at),
            soma__evaluation_id=provenance.evaluation_id,
            soma__passes=provenance.passes,
            soma__quality_score=provenance.quality,
        )

    def _execution(self, entity: str, provenance: Provenance) -> None:
        """Adds the attempt that made an asset, and its agents."""
        activity = _name("execution", provenance.execution_id)
        self._add(
            "activity",
            activity,
            prov__type=_typed("soma:execution"),
            soma__job_id=provenance.job_id,
            soma__request_id=provenance.request_id,
            soma__step_id=provenance.step_id,
            soma__attempt=provenance.attempt,
            soma__selection_id=provenance.selection_id,
            soma__parameters=json.dumps(provenance.params, sort_keys=True, ensure_ascii=False)
            if provenance.params
            else None,
            soma__prompt_summary=provenance.prompt_summary,
            soma__cost_micro_usd=provenance.cost_micro_usd,
            soma__latency_ms=provenance.latency_ms,
            soma__trace_id=provenance.trace_id,
        )
        self._relate(
            "wasGeneratedBy", prov__entity=entity, prov__activity=activity, prov__time=_time(provenance.created_at)
        )
        for parent in provenance.parent_ids:
            self._relate("used", prov__activity=activity, prov__entity=_name("asset", parent))
        self._relate_agents(activity, self._agents(provenance))

    def _agents(self, provenance: Provenance) -> Iterable[str]:
        """Yields the agents, each acting on behalf of the one before."""
        if provenance.subject:
            yield self._subject(provenance.subject)
        for kind, name in (("capability", provenance.capability_id), ("model", provenance.model)):
            if name:
                agent = _name(kind, name)
                self._add("agent", agent, prov__type=_typed("prov:SoftwareAgent"), prov__label=name)
                yield agent

    def _relate_agents(self, activity: str, agents: Iterable[str]) -> None:
        responsible = ""
        for agent in agents:
            self._relate("wasAssociatedWith", prov__activity=activity, prov__agent=agent)
            if responsible:
                self._relate(
                    "actedOnBehalfOf", prov__delegate=agent, prov__responsible=responsible, prov__activity=activity
                )
            responsible = agent

    def _subject(self, name: str) -> str:
        agent = _name("subject", name)
        self._add("agent", agent, prov__type=_typed("soma:subject"), prov__label=name)
        return agent

    def _derived(self, entity: str, provenance: Provenance, parent: str, source: Provenance | None) -> None:
        """Adds a derivation; from an upload, which no execution made, it is from a primary source."""
        primary = source is not None and not source.execution_id and not source.parent_ids
        self._relate(
            "wasDerivedFrom",
            prov__generatedEntity=entity,
            prov__usedEntity=_name("asset", parent),
            prov__activity=_name("execution", provenance.execution_id) if provenance.execution_id else None,
            prov__type=_typed("prov:PrimarySource") if primary else None,
        )


def _name(prefix: str, local: str) -> str:
    return f"{prefix}:{_local(local)}"


def _local(text: str) -> str:
    """Returns a local name: what is not a letter, a digit or one of "-_.@" is percent-encoded."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "-_.@") else _escaped(char) for char in text)
    return plain or "unknown"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _typed(name: str) -> JsonObject:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


def _time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _typed_time(time: datetime) -> JsonObject:
    return {"$": _time(time), "type": "xsd:dateTime"}
