from __future__ import annotations

from soma_cli.app import main

main()
