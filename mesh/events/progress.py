"""How far one partition is done with, when deliveries end in any order."""

from __future__ import annotations


class PartitionProgress:
    """Follows the deliveries of a partition; `position` is the last before the first that is not done."""

    def __init__(self) -> None:
        self._open: dict[str, bool] = {}
        self.position: str | None = None
        self._saved: str | None = None

    def delivered(self, position: str) -> None:
        """Note a delivery; positions come in ascending order."""
        self._open.setdefault(position, False)

    def done(self, position: str) -> None:
        """Note that a delivery is done with."""
        if position not in self._open:
            return
        self._open[position] = True
        while self._open:
            first = next(iter(self._open))
            if not self._open[first]:
                return
            del self._open[first]
            self.position = first

    @property
    def ahead(self) -> int:
        """Deliveries that are done with after one that is not."""
        return sum(self._open.values())

    def unsaved(self) -> str | None:
        """The position when it moved since it was last `saved`."""
        return self.position if self.position != self._saved else None

    def saved(self, position: str) -> None:
        """Note that a position is kept."""
        self._saved = position
