"""Opens the ports, before anything is forked."""

from __future__ import annotations

import os
import socket

from scoring_runtime.errors import PortError

__all__ = ["BACKLOG", "listen"]

BACKLOG = 4096


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises PortError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        sock.close()
        known = isinstance(error, OSError) and error.errno and error.errno > 0  # negative: the name has no address
        reason = os.strerror(error.errno) if known and isinstance(error, OSError) else str(error)  # type: ignore[arg-type]
        raise PortError(host, port, reason) from None
    sock.setblocking(False)
    return sock
