"""The child of `scoring check`: takes a script through its life as a worker would, and tells what it saw.

One JSON object a stage goes to the descriptor in argv, so that what the script prints does not mix with it, and the
last line tells how far it came, if it does not come back: import, init, sample, run, end.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["main"]

RUNS = 5
MOST_SECONDS = 10.0  # for runs after the first
SETTLE_SECONDS = 0.2  # for what is on its way out, or only just beginning
LISTEN = "0A"
SHOWN = 2000


class Teller:
    """Writes the stages."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __call__(self, stage: str, **facts: Any) -> None:
        os.write(self.fd, json.dumps({"stage": stage, **facts}).encode() + b"\n")

    def attempt(self, stage: str, action: Callable[[], Any]) -> Any:
        """Run and time it; when it fails that is told, and is the end."""
        self(stage, begun=True)
        began = time.perf_counter()
        try:
            result = action()
        except BaseException as error:
            cause = error.__cause__ or error
            told = f"{type(error).__name__}: {error}"
            self(
                stage,
                error=type(cause).__name__,
                ours=type(error).__name__,
                missing=getattr(cause, "name", None) if isinstance(cause, ModuleNotFoundError) else None,
                message=told[:SHOWN],
                where=traceback.format_exc(limit=-3)[-SHOWN:],
                seconds=time.perf_counter() - began,
            )
            sys.stdout.flush()
            os._exit(1)  # a thread that the script has started must not keep us
        self(stage, seconds=time.perf_counter() - began, memory_bytes=peak_bytes())
        return result


def main(argv: list[str]) -> None:
    """argv: descriptor, script, file with a body or ""."""
    tell, path, body_path = Teller(int(argv[0])), argv[1], argv[2]
    from scoring_runtime import compat, schemas
    from scoring_runtime.script import extend_path, load_script
    from scoring_runtime.server.inputs import choose
    from scoring_runtime.server.outputs import Encoder

    folder = os.getcwd()
    extend_path(folder, None, path)
    schemas.install()
    compat.install()
    tell("start", memory_bytes=peak_bytes(), imports=missing_imports(Path(path)), model_dir=uses_model_dir(Path(path)))
    script = tell.attempt("import", lambda: load_script(path, folder))
    inputs = tell.attempt("signature", lambda: choose(script))
    tell.attempt("init", script.init)
    declared = schemas.describe(script.run)
    body = tell.attempt("sample", lambda: sample(declared, body_path))
    tell("style", style=inputs.style, schema=declared is not None, sample=body is not None)
    if body is not None:
        encode = Encoder(allow_nan=False)
        answer = tell.attempt("run", lambda: score(inputs, encode, body))
        tell("answer", **answer)
        times: list[float] = []
        end = time.perf_counter() + MOST_SECONDS
        while len(times) < RUNS and time.perf_counter() < end:
            began = time.perf_counter()
            tell.attempt("run again", lambda: score(inputs, encode, body))
            times.append(time.perf_counter() - began)
        tell("times", seconds=times, memory_bytes=peak_bytes())
    time.sleep(SETTLE_SECONDS)
    tell("left", threads=threads(), processes=processes(), ports=ports())
    for pid in children():  # also those that have left our session
        os.kill(pid, signal.SIGKILL)
    tell("end")
    sys.stdout.flush()
    os._exit(0)


def sample(declared: Any, body_path: str) -> bytes | None:
    """The body of --input, else the sample of the schema."""
    if body_path:
        return Path(body_path).read_bytes()
    if declared is None:
        return None
    from scoring_runtime.api.encode import to_json

    return to_json(declared.input_schema["example"], allow_nan=False)


def score(inputs: Any, encode: Any, body: bytes) -> dict[str, Any]:
    """One request, from body to answer, with the server's own parts."""
    import asyncio
    import inspect

    from scoring_runtime.server.inputs import Job
    from scoring_runtime.server.wire import pack

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    head = pack(("POST", "/score", b"", headers, ("127.0.0.1", 1), "http", "1.1"))
    job = Job((1, 0.0, head, body, len(body)))
    try:
        result = inputs.target(**inputs(job))
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        answer = encode(result, 0.0)
        size = len(answer.body)
        if answer.stream is not None and not hasattr(answer.stream, "__anext__"):
            size = sum(map(len, answer.stream))
        return {
            "status": answer.status,
            "bytes": size,
            "type": type(result).__name__,
            "beginning": answer.body[:100].decode("utf-8", "replace"),
            "encoded_twice": isinstance(result, str) and is_json(result),
        }
    finally:
        job.close()


def is_json(text: str) -> bool:
    """An object or a list as text: the client will see a string in quotes."""
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


# what the script needs and leaves


def local_sources(path: Path) -> Iterator[ast.Module]:
    """The script, and the modules beside it that it imports."""
    seen, found = set(), [path]
    while found:
        one = found.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            tree = ast.parse(one.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        yield tree
        for name in imported(tree):
            beside = path.parent / f"{name}.py"
            if beside.is_file():
                found.append(beside)


def imported(tree: ast.Module) -> Iterator[str]:
    """The top names that a module imports, but for what it tries to and does without."""
    tried = {id(child) for node in ast.walk(tree) if isinstance(node, ast.Try) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in tried:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def missing_imports(path: Path) -> list[str]:
    """All that cannot be found, at once; an import fails at the first."""
    names = {name for tree in local_sources(path) for name in imported(tree)}
    return sorted(name for name in names if not findable(name))


def findable(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def uses_model_dir(path: Path) -> bool:
    """Whether the script asks for the model folder, in either way."""
    words = {"AZUREML_MODEL_DIR", "get_model_path"}
    for tree in local_sources(path):
        for node in ast.walk(tree):
            text = getattr(node, "value", None) if isinstance(node, ast.Constant) else getattr(node, "attr", None)
            if isinstance(text, str) and text in words:
                return True
    return False


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one is not threading.main_thread()]


def processes() -> list[str]:
    """Children that are still there."""
    found = []
    for pid in children():
        try:
            found.append(
                Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            )
        except OSError:
            continue
    return found


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def ports() -> list[int]:
    """Where this process listens."""
    mine = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            mine.add(target[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        fields = (line.split() for line in lines)
        found |= {int(field[1].rpartition(":")[2], 16) for field in fields if field[3] == LISTEN and field[9] in mine}
    return sorted(found)


if __name__ == "__main__":
    main(sys.argv[1:])
