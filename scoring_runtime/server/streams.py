"""A script's stream, piece by piece: in parts that fit into a frame, and also where no event loop runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

from scoring_runtime.server import wire

__all__ = ["drained", "parts_of"]


def parts_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What fits into a frame: a reader who is slow stops even a piece that is huge."""
    for piece in pieces:
        for start in range(0, len(piece), wire.INLINE_BYTES):
            yield piece[start : start + wire.INLINE_BYTES]


def drained(pieces: AsyncIterator[bytes]) -> Iterator[bytes]:
    """An async stream, one piece at a time, where no event loop runs."""
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(anext_of(pieces))
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def anext_of(pieces: AsyncIterator[bytes]) -> bytes:
    return await pieces.__anext__()
