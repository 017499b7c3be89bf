"""The arbiter: whom it replaces, when, and what it does when that fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.serving import serving, until

WORK = """
import os, time
VERSION = 1
def init():
    pass
def run(raw_data):
    return {"pid": os.getpid(), "version": VERSION}
"""

MORE_THAN_REGIONS = 40  # the slot table has 32 for one worker


def test_no_number_of_deaths_fills_the_slot_table(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        for _ in range(MORE_THAN_REGIONS):
            until(server.ready)
            [worker] = server.workers()
            server.process.send_signal(signal.SIGSTOP)  # so that the front is the first to see it
            os.kill(worker, signal.SIGKILL)
            until(lambda: not server.ready())
            server.process.send_signal(signal.SIGCONT)
        until(server.ready)
        assert server.post({}).status_code == 200
