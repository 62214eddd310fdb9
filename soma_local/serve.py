"""Serves contexts in one process: `python -m soma_local.serve registry selector`."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import pkgutil
import sys
from typing import TYPE_CHECKING

import uvloop

from mesh import contexts
from mesh.lifecycle import run_many
from mesh.settings import SettingsError

if TYPE_CHECKING:
    from mesh.lifecycle import Build


def serve(names: list[str]) -> None:
    """Builds and runs the named contexts (without names all of them) until a signal."""
    builds: list[Build] = [pkgutil.resolve_name(context.build) for context in contexts.named(names)]
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_many(builds))
    except SettingsError as error:
        sys.exit(str(error))


def main() -> None:
    """Parses the command line and serves."""
    faulthandler.enable()  # a crash in native code leaves its stack in the log
    parser = argparse.ArgumentParser(prog="python -m soma_local.serve", description=serve.__doc__)
    parser.add_argument("contexts", nargs="*", help="contexts to serve; none: all that are installed")
    serve(parser.parse_args().contexts)


if __name__ == "__main__":
    main()
