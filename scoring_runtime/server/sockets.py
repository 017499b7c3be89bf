"""The listening sockets: opened before anything is forked, or handed in by a supervisor that keeps them open."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from scoring_runtime.errors import PortError, SettingsError
from scoring_runtime.settings import Settings

if TYPE_CHECKING:
    import asyncio
    import ssl

__all__ = ["BACKLOG", "Doors", "handed_in", "listen"]

BACKLOG = 4096
LAST_HANDSHAKE_SECONDS = 2.0  # of connections that are accepted while the port closes
SHUTDOWN_SECONDS = 1.0  # for the other side's goodbye
FIRST_FD = 3  # where systemd and its kin put the first socket

Protocols = Callable[[], Any]


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


def handed_in(settings: Settings, environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that SCORING_LISTEN_FD or LISTEN_FDS names: the service first; raises SettingsError.

    The variables are gone afterwards: they speak to this process, not to what it starts.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("SCORING_LISTEN_FD", None)
    named: str = settings.listen_fd or ""
    if not named and pid == str(os.getpid()) and count.isdigit():
        named = ",".join(str(FIRST_FD + at) for at in range(int(count)))
    return [adopt(text.strip()) for text in named.split(",") if text.strip()][:2]


def adopt(text: str) -> socket.socket:
    expected = "the descriptors of one or two listening TCP sockets, such as 3 or 3,4"
    fix = "Pass the listening socket on to this process (in Python: subprocess with pass_fds), or unset the variable."
    try:
        sock = socket.socket(fileno=int(text))
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except (OSError, ValueError, OverflowError):
        raise SettingsError("SCORING_LISTEN_FD", text, expected, fix) from None
    if not listening or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.detach()
        raise SettingsError("SCORING_LISTEN_FD", text, expected, fix)
    os.set_inheritable(sock.fileno(), False)
    sock.setblocking(False)
    return sock


class Doors:
    """When the front begins to accept on each socket, and how it ends.

    A socket that was handed in is shared: with the supervisor, and with the server that this one replaces or that
    replaces this one. So it is accepted from only once there is a worker, and what waits in it is left to the others.
    """

    def __init__(self, listeners: Sequence[socket.socket], *, shared: bool) -> None:
        self.shared = shared
        self.service = list(listeners[:1])
        self.probes = list(listeners[1:])
        self.doors: list[Door] = []

    async def open(
        self,
        loop: asyncio.AbstractEventLoop,
        service: Protocols,
        probe: Protocols,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        """`service` and `probe` make the protocol of a connection to the one port and the other; that has no TLS."""
        self.loop = loop
        self.handshake_seconds = handshake_seconds
        secure = {"ssl": tls, "ssl_shutdown_timeout": SHUTDOWN_SECONDS} if tls else {}
        self.connection, self.secure = service, secure
        for sock in self.probes:
            await self.accept(sock, probe, {})
        if not self.shared:
            self.ready()
            await self.opening

    def ready(self) -> None:
        """There is a worker: the shared socket too."""
        if self.service:
            self.opening = self.loop.create_task(self.accept(self.service.pop(), self.connection, self.secure))

    async def accept(self, sock: socket.socket, connection: Protocols, secure: dict[str, Any]) -> None:
        timed = {**secure, "ssl_handshake_timeout": self.handshake_seconds} if secure else {}
        server = await self.loop.create_server(connection, sock=sock, backlog=BACKLOG, **timed)
        self.doors.append(Door(server, connection, secure))

    async def close(self) -> None:
        for sock in self.service:
            sock.close()
        self.service = []
        kept = [] if self.shared else [(door, sock.dup()) for door in self.doors for sock in door.server.sockets]
        for door in self.doors:
            door.server.close()
        if kept:
            import asyncio

            await asyncio.sleep(0.01)  # until the loop has let go of its own descriptors
            await asyncio.gather(*(self.empty(door, sock) for door, sock in kept))

    async def empty(self, door: Door, sock: socket.socket) -> None:
        """Accept what the kernel has accepted for us, to the last connection, and close in the same breath."""
        import asyncio

        sock.setblocking(False)
        accepted = []
        try:
            while True:
                accepted.append(sock.accept()[0])
        except (BlockingIOError, OSError):
            sock.close()
        timed = {**door.secure, "ssl_handshake_timeout": LAST_HANDSHAKE_SECONDS} if door.secure else {}
        for connection in accepted:
            connection.setblocking(False)
        welcomed = (self.loop.connect_accepted_socket(door.connection, one, **timed) for one in accepted)
        await asyncio.gather(*welcomed, return_exceptions=True)  # a failed handshake is the client's own affair


class Door(NamedTuple):
    """An open socket, what makes the protocols of its connections, and its TLS."""

    server: asyncio.Server
    connection: Protocols
    secure: dict[str, Any]
