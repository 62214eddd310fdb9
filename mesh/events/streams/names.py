"""The keys of the bus in Valkey: of one primary, since whatever is published goes with a look at the bus's mark."""

from __future__ import annotations

EPOCH = "soma:bus:epoch"


def stream(topic: str, partition: int) -> str:
    """The stream of a partition."""
    return f"soma:bus:{{{topic}}}:{partition}"


def seen(topic: str, event_id: str) -> str:
    """The mark that an event was published."""
    return f"soma:bus:{{{topic}}}:seen:{event_id}"


def members(topic: str, group: str) -> str:
    """Who reads the topic for the group, with the time until which each is taken to live."""
    return f"soma:bus:{{{topic}}}:members:{group}"


def owners(topic: str, group: str) -> str:
    """Which member reads which partition."""
    return f"soma:bus:{{{topic}}}:owners:{group}"
