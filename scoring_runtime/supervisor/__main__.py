"""`python -m scoring_runtime.supervisor FOLDER`: one supervisor for the service whose `run` folder that is."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from scoring_runtime.supervisor.files import read_state, read_wanted, take_lock
from scoring_runtime.supervisor.identity import is_same, kill_group
from scoring_runtime.supervisor.supervise import Supervisor, listen

__all__ = ["ALREADY", "NO_PORT", "main"]

ALREADY, NO_PORT = 3, 4  # exit codes
PATIENCE_SECONDS = 3.0


def main(folder: str) -> int:
    """Returns in two processes: at once in the one that was started, and at the end in the one that supervises."""
    lock = take_lock(folder)
    if lock is None:
        return ALREADY
    try:
        public = open_port(folder)
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return NO_PORT
    if os.fork():
        return 0
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    Supervisor(folder, public).run()
    return 0


def open_port(folder: str) -> socket.socket:
    """What an earlier supervisor that was killed has left is told to go; it may hold the port a moment longer."""
    state = read_state(folder)
    left = [one for one in (state.get("current"), state.get("starting"), *state.get("leaving", [])) if is_same(one)]
    for one in left:
        os.kill(one["pid"], signal.SIGTERM)
    wanted = int(read_wanted(folder).get("port") or state.get("port") or 0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return listen(wanted)
        except OSError:
            if time.monotonic() > deadline or not left:
                raise
        time.sleep(0.02)
        if time.monotonic() > deadline - 1:
            for one in left:
                if is_same(one):
                    kill_group(one["pid"], signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
