"""The queues, the slot table and the memory files between the front and its workers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from scoring_runtime.server import wire
from scoring_runtime.server.bodies import Bodies
from scoring_runtime.server.watch import gone, kill


@pytest.fixture
def channel() -> Iterator[wire.Channel]:
    channel = wire.Channel()
    yield channel
    for end in (channel.jobs_in, channel.jobs_out, channel.results_in, channel.results_out):
        end.close()


def test_what_no_worker_has_taken_can_be_taken_back(channel: wire.Channel) -> None:
    assert channel.take_back() == []
    frames = [(n, "job") for n in (1, 2, 3)]
    for frame in frames:
        channel.jobs_in.send(wire.pack(frame))
    assert wire.unpack(channel.jobs_out.recv(100)) == (1, "job")
    assert channel.take_back() == frames[1:]
    assert channel.take_back() == []


def test_waking_does_not_wait_and_leaves_no_job(channel: wire.Channel) -> None:
    channel.wake(2)
    assert channel.jobs_out.recv(100) == wire.NOP
    channel.wake(100_000)  # a full queue wakes them all the same
    assert channel.take_back() == []


def test_a_descriptor_travels_beside_a_frame(channel: wire.Channel) -> None:
    fd = wire.write_file([b"hello"])
    wire.attach(channel.jobs_in, b"frame", fd)
    os.close(fd)
    frame, ancillary, _, _ = channel.jobs_out.recvmsg(100, wire.ROOM_FOR_FD)
    [received] = wire.get_fd(ancillary[0][2])
    assert (frame, wire.read_file(received, 5)) == (b"frame", b"hello")
    os.close(received)


def test_a_file_holds_what_was_written_last_from_its_start() -> None:
    fd = wire.write_file([b"a" * 100_000, b"", b"b"])
    assert wire.read_file(fd, 100_001) == b"a" * 100_000 + b"b"
    assert wire.write_file([b"short"], fd) == fd
    assert wire.read_file(fd, 5) == b"short"
    os.close(fd)


@pytest.fixture
def bodies() -> Iterator[Bodies]:
    one = Bodies(limit_bytes=1000)
    yield one
    for file in one.files:
        one.close(file)


def test_sixteen_files_are_kept_for_the_next_bodies_and_few_for_long(bodies: Bodies) -> None:
    files = [bodies.take() for _ in range(17)]
    for file in files:
        bodies.give(file)
    assert bodies.files == files[:16]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(files[16].fd)
    bodies.tidy()
    assert bodies.take() is files[15]
    assert bodies.take() is files[14]
    bodies.give(files[14])
    bodies.give(files[15])
    bodies.tidy()
    assert bodies.files == [*files[:4], files[14], files[15]]


def test_sixteen_files_have_names_and_no_name_comes_back(bodies: Bodies) -> None:
    files = [bodies.take() for _ in range(17)]
    assert len({wire.place_of(file.name) for file in files[:16]}) == 16
    assert files[16].name == 0
    bodies.close(files[3])
    again = bodies.take()
    assert wire.place_of(again.name) == wire.place_of(files[3].name)
    assert again.name not in {file.name for file in files}
    for file in (*files[:3], again, *files[4:]):
        bodies.close(file)


def test_a_file_that_is_lent_comes_back_when_no_view_of_it_is_left(bodies: Bodies) -> None:
    file = bodies.take()
    file.memory[:5] = b"hello"
    view = memoryview(bodies.lend(file, 5)).cast("b")[1:]
    assert bodies.files == []
    assert bytes(view) == b"ello"
    del view
    assert bodies.files == [file]


def test_nobody_can_cut_a_file_that_is_mapped(bodies: Bodies) -> None:
    file = bodies.take()
    with pytest.raises(PermissionError):
        os.ftruncate(file.fd, 10)
    bodies.give(file)


def test_a_worker_knows_a_file_again_by_its_name(bodies: Bodies) -> None:
    mappings = wire.Mappings()
    file = bodies.take()
    os.pwrite(file.fd, b"hello", 0)
    [mapped] = {mappings.of(file.name, fd) for fd in (file.fd, -1)}
    assert mapped is not None
    assert mapped[:5] == b"hello"
    assert mappings.of(0, file.fd) is None
    bodies.close(file)
    after = bodies.take()
    bodies.give(after)
    assert (mappings.of(after.name, after.fd) or b"none")[:5] == bytes(5)
    assert mappings.of(wire.file_name(9, 3), -2) is None


def test_a_file_that_was_cut_ends_the_reading() -> None:
    fd = wire.write_file([b"short"])
    with pytest.raises(EOFError, match="5 bytes of 6 are there"):
        wire.read_file(fd, 6)
    os.close(fd)


def test_a_region_is_occupied_told_beaten_and_cleared() -> None:
    table = wire.SlotTable(regions=2, slots=3)
    assert table.free_region() == 0
    table.occupy(0, 77, wire.SERVING)
    table.beat(0, 12.5, 9)
    assert (table.pid(0), table.state(0), table.heartbeat(0), table.free_region()) == (77, wire.SERVING, 12.5, 1)
    assert (table.runs(0), table.runs(1)) == (9, 0)
    table.occupy(1, 78, wire.BOOTING)
    assert table.free_region() is None
    table.clear(0)
    assert (table.pid(0), table.state(0), table.heartbeat(0), table.free_region()) == (0, wire.EMPTY, 0.0, 0)
    assert table.pid(1) == 78


def test_a_row_is_seen_only_when_it_is_whole() -> None:
    table = wire.SlotTable(regions=1, slots=2)
    offset = table.offset(0, 1)
    assert table.row(0, 1) == (0, 0.0)
    wire.WORD.pack_into(table.memory, offset, 5)
    assert table.row(0, 1) == (0, 0.0)  # a job without a time is being written
    wire.CLOCK.pack_into(table.memory, offset + 8, 1.5)
    assert table.row(0, 1) == (5, 1.5)
    assert table.row(0, 0) == (0, 0.0)
    table.tell(0, 1, wire.INTERRUPTED, 5)
    assert wire.WORD.unpack_from(table.memory, offset + wire.INTERRUPTED) == (5,)
    assert table.row(0, 1) == (5, 1.5)


def test_signals_to_nobody_are_no_error() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    kill(pid, 15)
    assert gone(pid)
    assert not gone(os.getpid())
