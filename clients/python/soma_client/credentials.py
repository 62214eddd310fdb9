"""What a client proves its identity with. Nothing here shows it: not in a repr, a log or an exception."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable

TokenSource = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that gives one that is still good: it is called before each attempt."""

_SENDABLE = re.compile(r"[\x21-\x7e]+")


class Credential:
    """An API key, a token or a source of tokens, as the `authorization` of a call."""

    def __init__(self, name: str, source: TokenSource) -> None:
        self._name = name
        self._source = source
        if isinstance(source, str):
            self._checked(source)

    @classmethod
    def of(cls, api_key: str | None, token: TokenSource | None) -> Credential | None:
        """The one that is given; None without. ValueError when both are, or when one cannot be sent."""
        if api_key is not None and token is not None:
            raise ValueError("give api_key or token, not both")
        if api_key is not None:
            return cls("api_key", api_key)
        return None if token is None else cls("token", token)

    @property
    def is_renewable(self) -> bool:
        """Whether another one may be had after this one expired."""
        return not isinstance(self._source, str)

    async def authorization(self) -> str:
        """The value of the header. ValueError when the source gives something that cannot be sent."""
        if isinstance(self._source, str):
            return f"Bearer {self._source}"
        given = self._source()
        return f"Bearer {self._checked(await given if inspect.isawaitable(given) else given)}"

    def _checked(self, value: str) -> str:
        # gRPC would name the whole header in its own error.
        if not _SENDABLE.fullmatch(value):
            raise ValueError(f"{self._name} is empty or has a space, a line break or another character no key has")
        return value

    def __repr__(self) -> str:
        return f"<Credential {self._name}>"
