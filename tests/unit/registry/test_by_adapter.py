"""What one adapter serves is found without looking at what others serve."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from svc_registry.app import Registry
from svc_registry.app.index import CapabilityIndex
from svc_registry.app.ports import CapabilityFilter
from svc_registry.domain import Capability, CapabilityKey, Kind, Modality, Requester

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from svc_registry.app import Catalog
    from tests.in_memory.registry import MemoryStore

D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",), version=1)
changes = st.tuples(
    st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "acme"]), st.sampled_from(["mermaid", "d2", None])
)


class Counting(Registry):
    """Counts the capabilities that a list looks at."""

    looked_at = 0

    def _matches(self, capability: Capability, filter_: CapabilityFilter) -> bool:  # type: ignore[override]
        self.looked_at += 1
        return Registry._matches(capability, filter_)


async def test_a_list_of_one_adapter_looks_at_no_other(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> None:
    others = [replace(D2, tool_id=f"a{number}", adapter="other", tenant_id="acme") for number in range(50)]
    wanted = [replace(D2, tool_id=f"b{number}", adapter="mermaid", tenant_id="acme") for number in range(3)]
    await catalog._publish([*others, *wanted], [])
    registry = Counting(store, catalog, clock)
    pages, token = [], ""
    while not pages or token:
        page = registry.list(Requester("", "executor", is_platform=True), CapabilityFilter(adapter="mermaid"), 2, token)
        pages.append(list(page.items))
        token = page.next_token
    assert pages == [wanted[:2], wanted[2:]]
    assert registry.looked_at == 4  # the third twice: it tells the first page that there is a second


@given(st.lists(changes, max_size=30))
def test_the_index_finds_what_was_put_last_and_is_still_there(steps: list[tuple[str, str, str | None]]) -> None:
    """An adapter of None takes the capability out."""
    index, known = CapabilityIndex(), dict[CapabilityKey, Capability]()
    for tool, tenant, adapter in steps:
        item = replace(D2, tool_id=tool, tenant_id=tenant, adapter=adapter or "")
        if adapter is None:
            index.remove(item.key)
            known.pop(item.key, None)
        else:
            index.put(item)
            known[item.key] = item
    for adapter in ("mermaid", "d2"):
        expected = [known[key] for key in sorted(known) if known[key].adapter == adapter]
        assert list(index.list_after(CapabilityKey("", ""), adapter)) == expected
