"""A script that loads in the arbiter (WORKER_PRELOAD): a guest there, whose processes and signals are its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from scoring_runtime.server.boot import HELD, Nursery

__all__ = ["ENDING", "UserCode", "leave"]

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
REPEAT_SECONDS = 0.2
REPEATS = 5
OVER = b"\0"


class UserCode:
    """The script while it loads in the arbiter: what it starts finds signals as usual, and nothing of ours."""

    def __init__(self, nursery: Nursery) -> None:
        self.nursery = nursery
        self.runs = False
        self.handlers: dict[int, Any] = {}
        os.register_at_fork(before=self.hold, after_in_parent=self.release, after_in_child=self.begin_child)

    @contextlib.contextmanager
    def running(self, end: Any, unheard: Callable[[], None], ignored: Iterable[int] = ()) -> Iterator[None]:
        """`end` handles the signals that end a server; `unheard` is called when C code keeps it from doing so."""
        handlers = dict.fromkeys(ENDING, end) | dict.fromkeys(ignored, ignore)
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self.handlers = {number: signal.getsignal(number) for number in HELD}
        held = signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.runs = True
        main = threading.get_ident()
        insistence = threading.Thread(target=self.insist, args=(reader, unheard, main), name="signals", daemon=True)
        insistence.start()
        try:
            yield
        finally:
            self.runs = False
            signal.set_wakeup_fd(wakeup)
            os.write(writer, OVER)
            insistence.join()
            os.close(reader)
            os.close(writer)
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            for number, handler in before.items():
                signal.signal(number, handler)

    def insist(self, reader: int, unheard: Callable[[], None], main: int) -> None:
        """One that comes just before a long system call does not interrupt it: send it again, until it is heard."""
        while OVER not in (numbers := os.read(reader, 512)):
            ending = [number for number in ENDING if number in numbers]
            for repeat in range(1, REPEATS + 1) if ending else ():
                time.sleep(REPEAT_SECONDS)
                if not self.runs:
                    break
                signal.pthread_kill(main, ending[0])
                if repeat == REPEATS:
                    unheard()

    def hold(self) -> None:
        if self.runs:  # a child ends by SIGTERM, however early it comes
            signal.pthread_sigmask(signal.SIG_BLOCK, HELD)

    def release(self) -> None:
        if self.runs:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)

    def begin_child(self) -> None:
        if self.runs:
            signal.set_wakeup_fd(-1)
            for number, handler in self.handlers.items():
                if callable(handler) and signal.getsignal(number) == handler:
                    signal.signal(number, signal.SIG_DFL)
            self.nursery.let_go()
            self.release()
            self.runs = False


def ignore(*_: Any) -> None:
    """A handler, not SIG_IGN, which programs started by the script would inherit."""


def leave(code: int) -> NoReturn:
    """Past the script, which would be free to catch SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(RuntimeError, OSError, ValueError):  # the signal may have come while it was writing
            stream.flush()
    os._exit(code)
