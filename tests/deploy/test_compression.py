"""gzip that is the same whoever makes it."""

from __future__ import annotations

import gzip
import io
import random

import pytest

from scoring_runtime.deploy.images.compression import BLOCK_BYTES, GzipWriter


def compressed(data: bytes, piece: int, workers: int) -> bytes:
    sink = io.BytesIO()
    writer = GzipWriter(sink, workers=workers)
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
    writer.close()
    return sink.getvalue()


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 77])
def test_gzip_reads_what_was_written(size: int) -> None:
    data = random.Random(size).randbytes(size // 2) * 2 + b"x" * (size % 2)

    assert gzip.decompress(compressed(data, 100_000, 2)) == data


def test_neither_the_pieces_nor_the_threads_show() -> None:
    data = b"".join(b"%d " % number for number in range(400_000))

    assert compressed(data, 1000, 1) == compressed(data, 999_999, 8)


def test_the_ratio_is_that_of_one_stream() -> None:
    data = b"".join(b"%d " % (number % 7919) for number in range(800_000))

    assert len(compressed(data, 1 << 20, 2)) < 1.05 * len(gzip.compress(data, 4))


def test_what_does_not_shrink_is_stored_and_the_rest_is_not() -> None:
    noise, text = random.Random(2).randbytes(2 * BLOCK_BYTES), b"text " * BLOCK_BYTES

    data = compressed(noise + text, 1 << 20, 2)

    assert gzip.decompress(data) == noise + text
    assert len(noise) < len(data) < 1.02 * len(noise)


def test_a_sink_that_fails_leaves_no_thread() -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            if self.tell():
                raise OSError("full")
            return super().write(data)  # type: ignore[arg-type]

    writer = GzipWriter(Full(), workers=2)
    writer.write(b"x" * 10)
    with pytest.raises(OSError, match="full"):
        writer.close()

    assert all(not thread.is_alive() for thread in writer.pool._threads)
