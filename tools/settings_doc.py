"""Writes docs/settings.md from the settings of every service. `--check` fails on a difference.

What a variable is called, means and defaults to is told once, in the settings classes.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from mesh.chassis import ChassisSettings
from mesh.contexts import installed
from mesh.settings import Variable, variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "settings.md"
EVERY = "<context>"
"""Stands for the name of a context in the variables that all of them read."""

HEAD = """\
# Settings

Made by `tools/settings_doc.py` from the settings classes; edit those. A service reads its settings once, from the
environment, when it starts; what does not fit is refused then, every problem at once, each with its variable.

- **One context alone.** `SA01_<CONTEXT>_…` wins over `SA01_…`: `SA01_REGISTRY_POSTGRES_POOL_MAX` sets the registry's
  pool, `SA01_POSTGRES_POOL_MAX` that of every context that has none of its own. This holds for every variable below,
  also for those of a context's own block. Where a line has several names, the first that is set counts.
- **Empty is unset.** A variable that is set to nothing has its default.
- **Lists and mappings** are JSON, or values with commas between them.
- **Secret** values are never logged and appear in no error.
- **On one machine** your environment wins over what `soma up` chooses: `SA01_TELEMETRY_LOG_LEVEL=DEBUG soma up`,
  `SA01_BLOBS_URL=s3://… soma up`. What it must settle itself it owns, and takes from nobody: where its engines are and
  how they are spoken to (`VALKEY_URL`, `TEMPORAL_ADDRESS`, `VAULT_ADDRESS`, `VAULT_TOKEN_FILE`, `POSTGRES_DSN`,
  `POSTGRES_SCHEMA_NAME`, of `BUS_…` all that tells where and how; which bus it is `SA01_BUS_KIND` says, or `--bus`),
  ports (`SERVER_BIND`, `PEERS_…`, `TELEMETRY_METRICS_BIND`, `GATEWAY_XDS_BIND`, `GATEWAY_EDGE_BIND`, for which there
  is `--port`), certificates (`TLS_…_FILE`, `GATEWAY_EDGE_…_FILE`) and `GATEWAY_BOOTSTRAP_KEY_FILE`. All that holds is
  in `run/services.env` of its home.
- **Replicas.** Calls to a context are shared among all addresses that its `SA01_PEERS_…` names, call by call. In
  Kubernetes that is `name:port` of a headless service; `dns:///name:port` says the same. Without a resolver give the
  addresses: `ipv4:10.0.0.1:7000,10.0.0.2:7000` or `ipv6:[…]:7000,[…]:7000`. With TLS use a name: certificates are made
  out to it. A replica that ends gets no more calls at once. A new one gets calls after
  `SA01_SERVER_MAX_CONNECTION_AGE_SECONDS` at the latest, when the old connections end and the name is resolved again.
"""

OUTSIDE = (
    ("SA01_HOME", "`.soma`", "folder of the local mesh, for every `soma` command"),
    ("SA01_UP_WITH", "none", "process id: `soma up`, detached too, stops when that process ends (Linux)"),
    (
        "SA01_CHROMIUM",
        "none",
        "browser that takes screenshots; none: the system's, Playwright's, or one that is fetched",
    ),
    (
        "SA01_KAFKA_JARS",
        "none",
        "folder with the jars of a Kafka broker, for `soma up --bus kafka`; none: fetched once through Maven",
    ),
    (
        "SA01_FAULTS",
        "none",
        "planted failures, with `SA01_PROFILE=test` alone, for example `executor.after_store=kill@3`",
    ),
)
"""What is read by others than the services: variable, default, meaning."""
PEERS = """\
Where the other contexts are: host:port, or `ipv4:1.2.3.4:1,1.2.3.5:1` and likewise `ipv6:` for several addresses. A
context does not start without the address of each context that it calls; the gateway tells of those whose address it
was not given in `/v1/health/components`, and the edge refuses calls to them with `UNAVAILABLE`."""
HEADER = ("| variable | default | meaning |", "| --- | --- | --- |")


def settings_of(context: str) -> type[ChassisSettings]:
    """The settings class of a context."""
    found: object = import_module(f"svc_{context}.settings").Settings
    if isinstance(found, type) and issubclass(found, ChassisSettings):
        return found
    raise TypeError(f"svc_{context}.settings.Settings is no ChassisSettings")


def contexts() -> list[str]:
    """Names of the contexts, ordered."""
    return [context.name for context in installed()]


def cell(text: str) -> str:
    """A text that may stand between the bars of a table."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("\n", " ")


def default(variable: Variable, owner: type[BaseModel]) -> str:
    """The default as an operator would write it."""
    if variable.required:
        block = owner.model_fields[variable.path[0]]
        return "**required**" if block.is_required() else "**required** if any of its block is set"
    if variable.default in {"", "()", "{}", "[]"}:
        return "none"
    value = variable.default.lower() if variable.default in {"True", "False"} else variable.default
    return f"`{cell(value)}`"


def rows(found: Iterable[Variable], owner: type[BaseModel]) -> Iterator[str]:
    """A table of variables; their names for one context alone are left to the rule above."""
    yield from HEADER
    for variable in found:
        names = ", ".join(f"`{name}`" for name in variable.names[1:])
        meaning = f"{variable.description} (**secret**)" if variable.secret else variable.description
        yield f"| {names} | {default(variable, owner)} | {cell(meaning)} |"


def section(title: str, text: str, found: list[Variable], owner: type[BaseModel]) -> str:
    """A heading, a line on it, and its table."""
    lines = [f"## {title}", "", text, ""]
    return "\n".join([*lines, *rows(found, owner)] if found else lines[:-1]) + "\n"


def first_line(of: type) -> str:
    """What a class says of itself."""
    return (of.__doc__ or "").strip().partition("\n")[0]


def render() -> str:
    """The whole page."""
    shared = list(variables(ChassisSettings, EVERY))
    parts = [HEAD, "## Every context\n"]
    for name, field in ChassisSettings.model_fields.items():
        block = field.annotation
        group = [variable for variable in shared if variable.path[0] == name]
        if isinstance(block, type) and issubclass(block, BaseModel):
            parts.append("#" + section(f"`{name}`", first_line(block), group, ChassisSettings))
        else:
            parts.append("#" + section(f"`{name}`", PEERS, group, ChassisSettings))
    known = {variable.path for variable in shared}
    for context in contexts():
        owner = settings_of(context)
        own = [variable for variable in variables(owner, context) if variable.path not in known]
        text = "Beside those of every context:" if own else "None beside those of every context."
        parts.append(section(f"`{context}`", text, own, owner))
    outside = [f"| `{name}` | {value} | {meaning} |" for name, value, meaning in OUTSIDE]
    return "\n".join([*parts, "## Read outside the services\n", *HEADER, *outside]) + "\n"


def main() -> int:
    """Writes, or checks."""
    if "--check" not in sys.argv:
        OUT.write_text(render(), encoding="utf-8")
        return 0
    if OUT.exists() and OUT.read_text(encoding="utf-8") == render():
        return 0
    print("docs/settings.md does not match the settings: run tools/settings_doc.py")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
