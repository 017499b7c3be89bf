"""Question: what does a registry that hashes, syncs and verifies cost beside cp?  python -m benchmarks.bench_registry

One large file, and a folder of many small ones: copied by `cp` (also with a sync of each file, as ours has),
registered, registered again, downloaded; in alternating rounds, each in a fresh folder, with median and spread. Then
many models are listed. The source is in the page cache for all. The disk of --folder needs three times the file's size.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import spread
from scoring_runtime.deploy import Model, Workspace

__all__ = ["copying", "listing", "main"]


def copying(source: Path, size: int, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, round by round."""
    times: dict[str, list[float]] = {}

    def timed(name: str, way: Callable[[], object]) -> None:
        started = time.perf_counter()
        way()
        times.setdefault(name, []).append(time.perf_counter() - started)

    for _ in range(rounds):
        place = Path(tempfile.mkdtemp(dir=folder))
        ws = Workspace(str(place / "ws"))
        timed("cp", lambda place=place: run("cp", "-r", source, place / "copy"))
        shutil.rmtree(place / "copy") if source.is_dir() else (place / "copy").unlink()
        timed("cp and sync", lambda place=place: (run("cp", "-r", source, place / "copy"), sync(place / "copy")))
        timed("register", lambda ws=ws: Model.register(ws, str(source), "m"))
        timed("register the same again", lambda ws=ws: Model.register(ws, str(source), "m"))
        timed("download", lambda ws=ws, place=place: Model(ws, "m").download(str(place / "out")))
        shutil.rmtree(place)
    print(f"\n{source.name}: {size:,} bytes, {rounds} rounds")
    for name, values in times.items():
        found = spread(values)
        assert found is not None
        rate = size / found.median / 1e6
        print(f"  {name:<26}{found.median:8.3f} s  ({found.low:.3f}-{found.high:.3f})  {rate:8,.0f} MB/s")
    return times


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


def sync(copy: Path) -> None:
    for path in copy.rglob("*") if copy.is_dir() else [copy]:
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def listing(count: int, folder: Path) -> dict[str, float]:
    """Milliseconds to register a small model, to list all of them, and to find one."""
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "model").write_text("weights")
    ws = Workspace(str(place / "ws"))
    started = time.perf_counter()
    for at in range(count):
        Model.register(ws, str(place / "model"), f"model-{at % (count // 2)}", {"even": str(at % 2 == 0)})
    result = {"register, each": (time.perf_counter() - started) / count}
    for name, way in {
        "list all": lambda: Model.list(ws),
        "list the latest with a tag": lambda: Model.list(ws, tags=[["even", "True"]], latest=True),
        "the latest of one name": lambda: Model(ws, "model-7"),
        "delete one": lambda: Model(ws, "model-7").delete(),
    }.items():
        started = time.perf_counter()
        way()
        result[name] = time.perf_counter() - started
    shutil.rmtree(place)
    print(f"\n{count:,} models, two versions of each name")
    for name, seconds in result.items():
        print(f"  {name:<26}{seconds * 1000:8.1f} ms")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the large file")
    parser.add_argument("--files", type=int, default=2000, help="in the folder, of 20 kB")
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="default: the system's for temporary files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        block = os.urandom(1_000_000)
        large, small = folder / "large", folder / "small"
        with large.open("wb") as file:
            for at in range(options.megabytes):
                file.write(at.to_bytes(8, "big") + block[8:])
        small.mkdir()
        for at in range(options.files):
            (small / str(at)).write_bytes(at.to_bytes(8, "big") + block[8:20_000])
        copying(large, large.stat().st_size, folder, options.rounds)
        copying(small, options.files * 20_000, folder, options.rounds)
        listing(options.models, folder)


if __name__ == "__main__":
    main()
