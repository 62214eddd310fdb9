"""Rules of the folders of tests: `tests/<stage>/<package>/` names the package that its tests run.

A package is a top-level folder of the repository, of a service without `svc_`, or one that the tests are run with
(`tests/bench`). Below `mesh`, folders name a package or a module of it. What runs several contexts together stands in
`contexts`; files of a stage that are in no folder are about the repository or the mesh as a whole. The tests that the
requirements name stay where these say, in `multimodal`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

STAGES = frozenset({"unit", "contract", "integration", "e2e", "chaos"})
CONTEXTS = "contexts"
NAMED_BY_REQUIREMENTS = frozenset(
    f"tests/{stage}/multimodal/{name}.py"
    for stage, names in {
        "unit": "asset_critic asset_store capability_registry plan_compiler policy_graph_router portfolio_ranker",
        "integration": "multimodal_job multimodal_providers soma_outcomes",
        "e2e": "provider_failures quality_gates srs_generation",
        "chaos": "circuit_breaker resume",
    }.items()
    for name in ("__init__", *(f"test_{name}" for name in names.split()))
)


def misnamed_folders(names: Iterable[str]) -> list[str]:
    """The folders with Python files that name neither a stage nor a package, a path each.

    `names` are the paths of all files of the repository, relative to it.
    """
    files = [PurePosixPath(name) for name in names]
    packages, parts = _packages(files), _parts_of_mesh(files)
    folders = {file.parent.parts[1:] for file in files if _is_test(file)}
    return sorted(
        "/".join(("tests", *folder)) for folder in folders if folder and not _is_named(folder, packages, parts)
    )


def _is_test(file: PurePosixPath) -> bool:
    """Whether a file is a test, or stands beside tests: what else `tests` has are programs."""
    if file.parts[0] != "tests" or file.suffix != ".py" or file.as_posix() in NAMED_BY_REQUIREMENTS:
        return False
    return file.name.startswith("test_") or file.parts[1] in STAGES


def _is_named(folder: tuple[str, ...], packages: frozenset[str], parts: frozenset[PurePosixPath]) -> bool:
    stage, *rest = folder
    if stage not in STAGES:
        return stage in packages
    if rest[:1] == ["mesh"]:
        return PurePosixPath(*rest) in parts
    return not rest or rest[0] in packages or rest[0] == CONTEXTS


def _packages(files: list[PurePosixPath]) -> frozenset[str]:
    """Names that a folder of tests may have."""
    product = {file.parts[0].removeprefix("svc_") for file in files if len(file.parts) > 1}
    programs = {file.parts[1] for file in files if file.parts[0] == "tests" and file.name == "__init__.py"}
    return frozenset(product | programs) - STAGES - {"tests", "__init__.py"}


def _parts_of_mesh(files: list[PurePosixPath]) -> frozenset[PurePosixPath]:
    """The chassis, its packages and modules."""
    modules = {file.with_suffix("") for file in files if file.parts[0] == "mesh" and file.suffix == ".py"}
    packages = {folder for module in modules for folder in module.parents if folder.parts}
    return frozenset(modules | packages)
