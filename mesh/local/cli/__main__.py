from __future__ import annotations

from mesh.local.cli.app import main

main()
