"""An interrupted measurement stops what it started."""

from __future__ import annotations

import os
import signal

import pytest

from tests.bench.rig import stopping_on_sigterm


def test_sigterm_ends_the_program_in_good_order() -> None:
    before, stopped = signal.getsignal(signal.SIGTERM), list[str]()

    def interrupted() -> None:
        with stopping_on_sigterm():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                stopped.append("the mesh")

    with pytest.raises(SystemExit) as ended:
        interrupted()
    assert ended.value.code == 128 + signal.SIGTERM
    assert stopped == ["the mesh"]
    assert signal.getsignal(signal.SIGTERM) == before
