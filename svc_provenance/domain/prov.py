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


def prov_json(own: Provenance, ancestors: Sequence[Provenance]) -> JsonObject:
    """The document of an asset and of all that it was made from; equal for an equal lineage."""
    document = _Document()
    known = {item.asset_id: item for item in (own, *ancestors)}
    for item in known.values():
        document.asset(item, known)
    return document.json()


class _Document:
    """Statements by their kind and id; saying a thing twice says it once."""

    def __init__(self) -> None:
        self._statements: dict[str, dict[str, JsonObject]] = {}

    def json(self) -> JsonObject:
        """The document; kinds without a statement are left out."""
        prefixes: JsonObject = dict(PREFIXES)
        return {"prefix": prefixes, **{kind: dict(items) for kind, items in self._statements.items()}}

    def _add(self, kind: str, id_: str, **attributes: JsonValue) -> None:
        stated: JsonObject = {
            name.replace("__", ":", 1): value for name, value in attributes.items() if value not in ("", None)
        }
        self._statements.setdefault(kind, {}).setdefault(id_, {}).update(stated)

    def _relate(self, kind: str, **attributes: JsonValue) -> None:
        """A relation; its id follows from what it relates: the plain names among its attributes."""
        ends = [
            value.replace(":", "-")
            for name, value in attributes.items()
            if isinstance(value, str) and name != "prov__time"
        ]
        self._add(kind, f"_:{kind}-{'-'.join(ends)}", **attributes)

    def asset(self, item: Provenance, known: dict[str, Provenance]) -> None:
        """An asset, what made it, and from what."""
        entity = _name("asset", item.asset_id)
        self._entity(entity, item)
        for parent in item.parent_ids:
            self._add("entity", _name("asset", parent))
        if item.execution_id:
            self._execution(entity, item)
        elif item.subject:
            subject = self._subject(item.subject)
            self._relate("wasAttributedTo", prov__entity=entity, prov__agent=subject)
        for parent in item.parent_ids:
            self._derived(entity, item, parent, known.get(parent))
        if item.deleted_at is not None:
            self._relate("wasInvalidatedBy", prov__entity=entity, prov__time=_time(item.deleted_at))

    def _entity(self, entity: str, item: Provenance) -> None:
        self._add(
            "entity",
            entity,
            prov__type=_typed(f"soma:{_local(item.asset_type)}") if item.asset_type else None,
            soma__media_type=item.media_type,
            soma__sha256=item.checksum,
            soma__create_time=_moment(item.created_at),
            soma__evaluation_id=item.evaluation_id,
            soma__passes=item.passes,
            soma__quality_score=item.quality,
        )

    def _execution(self, entity: str, item: Provenance) -> None:
        """The attempt that made an asset, who did it, and for whom."""
        activity = _name("execution", item.execution_id)
        self._add(
            "activity",
            activity,
            prov__type=_typed("soma:execution"),
            soma__job_id=item.job_id,
            soma__request_id=item.request_id,
            soma__step_id=item.step_id,
            soma__attempt=item.attempt,
            soma__selection_id=item.selection_id,
            soma__parameters=json.dumps(item.params, sort_keys=True, ensure_ascii=False) if item.params else None,
            soma__prompt_summary=item.prompt_summary,
            soma__cost_micro_usd=item.cost_micro_usd,
            soma__latency_ms=item.latency_ms,
            soma__trace_id=item.trace_id,
        )
        self._relate("wasGeneratedBy", prov__entity=entity, prov__activity=activity, prov__time=_time(item.created_at))
        for parent in item.parent_ids:
            self._relate("used", prov__activity=activity, prov__entity=_name("asset", parent))
        self._chain(activity, self._agents(item))

    def _agents(self, item: Provenance) -> Iterable[str]:
        """Who took part, each acting on behalf of the one before."""
        if item.subject:
            yield self._subject(item.subject)
        for kind, name in (("capability", item.capability_id), ("model", item.model)):
            if name:
                agent = _name(kind, name)
                self._add("agent", agent, prov__type=_typed("prov:SoftwareAgent"), prov__label=name)
                yield agent

    def _chain(self, activity: str, agents: Iterable[str]) -> None:
        above = ""
        for agent in agents:
            self._relate("wasAssociatedWith", prov__activity=activity, prov__agent=agent)
            if above:
                self._relate("actedOnBehalfOf", prov__delegate=agent, prov__responsible=above, prov__activity=activity)
            above = agent

    def _subject(self, name: str) -> str:
        agent = _name("subject", name)
        self._add("agent", agent, prov__type=_typed("soma:subject"), prov__label=name)
        return agent

    def _derived(self, entity: str, item: Provenance, parent: str, source: Provenance | None) -> None:
        """A derivation; from an upload, which nothing here made, it is from a primary source."""
        primary = source is not None and not source.execution_id and not source.parent_ids
        self._relate(
            "wasDerivedFrom",
            prov__generatedEntity=entity,
            prov__usedEntity=_name("asset", parent),
            prov__activity=_name("execution", item.execution_id) if item.execution_id else None,
            prov__type=_typed("prov:PrimarySource") if primary else None,
        )


def _name(prefix: str, local: str) -> str:
    return f"{prefix}:{_local(local)}"


def _local(text: str) -> str:
    """A local name: what is not a letter, a digit or one of "-_.@" is percent-encoded."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "-_.@") else _escaped(char) for char in text)
    return plain or "unknown"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _typed(name: str) -> JsonObject:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _moment(moment: datetime) -> JsonObject:
    return {"$": _time(moment), "type": "xsd:dateTime"}
