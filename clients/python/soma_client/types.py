"""The messages of the contracts, by context: `types.executor.Job`, `types.assets.Asset`.

They are dataclasses. An enum value that this version does not know is kept: its name is then empty. JSON objects are
read with `from_struct`. What is secret in a message is not in its repr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_client.gen.packages import *  # noqa: F403 - a package for each context, as they are generated
from soma_client.gen.packages import gateway

if TYPE_CHECKING:
    import betterproto2

_SECRET: tuple[tuple[type[betterproto2.Message], str], ...] = ((gateway.ApiKey, "secret"), (gateway.Token, "token"))
"""Fields that hold a credential."""


def _hide(kind: type[betterproto2.Message], name: str) -> None:
    """Leaves a field out of the repr of a message."""
    plain = kind.__repr__

    def hidden(message: betterproto2.Message) -> str:
        value = getattr(message, name)
        return plain(message).replace(repr(value), "<hidden>") if value else plain(message)

    kind.__repr__ = hidden  # type: ignore[method-assign]


for _kind, _name in _SECRET:
    _hide(_kind, _name)
