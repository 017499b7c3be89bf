"""The table of servers: how each is started, where it answers, what it cannot do and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import CACHE, ROOT
from benchmarks.works import Work

__all__ = ["SERVERS", "Launch", "Server", "environ"]

PEERS = Path(__file__).parent / "peers"
SCORE = "/score"
V2_INFER = "/v2/models/score/infer"


@dataclass(frozen=True)
class Launch:
    """What a start command may need: the environment's interpreter, the work, the ports, an empty folder."""

    python: Path
    work: Work
    port: int
    spare_ports: tuple[int, int]
    folder: Path

    def program(self, name: str) -> str:
        return str(self.python.parent / name)


@dataclass(frozen=True)
class Server:
    """One row: `note` says what a reader must know about how it was run."""

    name: str
    title: str
    note: str
    command: Callable[[Launch], list[str]]
    path: str = SCORE
    health: str = "/"
    import_from: Path | None = PEERS
    takes_scripts: bool = False
    speaks_v2: bool = False
    cannot: Mapping[str, str] = field(default_factory=dict)

    def why_not(self, work: Work) -> str | None:
        """Why this server cannot do that work, or None."""
        if not self.takes_scripts and not work.has_plain:
            return "takes no score.py"
        if work.name in self.cannot:
            return self.cannot[work.name]
        return None

    def request(self, work: Work) -> tuple[bytes, str]:
        """The body and content type that ask this server for the work."""
        if self.speaks_v2 and work.v2_body is not None:
            return work.v2_body, "application/json"
        return work.body, work.content_type

    def value(self, work: Work, answer: bytes) -> Any:
        """What the answer says, in a form that is the same for every server."""
        if work.name == "raw-1mb":
            return answer
        if not self.speaks_v2:
            return json.loads(answer)
        tensor = json.loads(answer)["outputs"][0]
        return json.loads(tensor["data"][0]) if tensor["datatype"] == "BYTES" else tensor["data"]


def _ours(launch: Launch) -> list[str]:
    command = [str(launch.python), "-m", "scoring_runtime", str(launch.work.script), "--port", str(launch.port)]
    return command + _model_dir(launch)


def _azmlinfsrv(launch: Launch) -> list[str]:
    command = [launch.program("azmlinfsrv"), "--entry_script", str(launch.work.script), "--port", str(launch.port)]
    return command + _model_dir(launch)


def _model_dir(launch: Launch) -> list[str]:
    return ["--model_dir", str(launch.work.model_dir)] if launch.work.model_dir else []


def _uvicorn_bare(launch: Launch) -> list[str]:
    options = [
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--lifespan",
        "off",
        "--log-level",
        "warning",
        "--no-access-log",
    ]
    return _uvicorn("bare_asgi:app", launch) + options


def _fastapi(launch: Launch) -> list[str]:
    return _uvicorn("fastapi_service:app", launch)


def _uvicorn(app: str, launch: Launch) -> list[str]:
    return [str(launch.python), "-m", "uvicorn", app, "--app-dir", str(PEERS), "--port", str(launch.port)]


def _litserve(launch: Launch) -> list[str]:
    return [str(launch.python), str(PEERS / "litserve_service.py")]


def _bentoml(launch: Launch) -> list[str]:
    where = ["--working-dir", str(PEERS), "--host", "127.0.0.1", "--port", str(launch.port)]
    return [launch.program("bentoml"), "serve", "bentoml_service:Score", *where]


def _mlserver(launch: Launch) -> list[str]:
    grpc, metrics = launch.spare_ports
    settings = {"host": "127.0.0.1", "http_port": launch.port, "grpc_port": grpc, "metrics_port": metrics}
    model = {"name": "score", "implementation": "mlserver_service.Score"}
    (launch.folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 1}))
    (launch.folder / "model-settings.json").write_text(json.dumps(model))
    return [launch.program("mlserver"), "start", str(launch.folder)]


_ROWS = (
    Server("ours", "scoring-runtime", "access log on", _ours, import_from=ROOT, takes_scripts=True),
    Server(
        "azmlinfsrv",
        "azmlinfsrv",
        "access log on; closes every connection",
        _azmlinfsrv,
        import_from=None,
        takes_scripts=True,
    ),
    Server(
        "uvicorn-bare",
        "uvicorn, bare",
        "a bare ASGI callable with orjson on uvloop and httptools, no log: the ceiling",
        _uvicorn_bare,
        cannot=dict.fromkeys(
            ("logreg", "numpy-1x784", "numpy-64x784", "pandas-1000x8"), "only echo and raw: it marks the HTTP ceiling"
        ),
    ),
    Server("fastapi", "FastAPI", "uvicorn[standard], access log on, `def` endpoint in its thread pool", _fastapi),
    Server(
        "litserve",
        "LitServe",
        "one worker, one API process, access log on",
        _litserve,
        health="/health",
        cannot={"raw-1mb": "reads JSON and forms only"},
    ),
    Server(
        "bentoml",
        "BentoML",
        "one worker, access log on",
        _bentoml,
        health="/readyz",
        cannot={"raw-1mb": "takes files as multipart forms, not a raw body"},
    ),
    Server(
        "mlserver",
        "MLServer",
        "one parallel worker, access log on, asked in the V2 protocol",
        _mlserver,
        path=V2_INFER,
        health="/v2/models/score/ready",
        speaks_v2=True,
        cannot={"raw-1mb": "V2 over JSON has no raw bytes"},
    ),
)
SERVERS: Mapping[str, Server] = {server.name: server for server in _ROWS}


def environ(server: Server, launch: Launch, path: str) -> dict[str, str]:
    """The whole environment of a server: of the caller's only PATH, and numpy kept to one thread for everyone."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "PATH": f"{launch.python.parent}:{path}",
        "HOME": str(launch.folder),
        "LANG": "C.UTF-8",
        **({"PYTHONPATH": str(server.import_from)} if server.import_from else {}),
        "BENCHMARK_WORK": str(launch.work.script.parent),
        "BENCHMARK_PORT": str(launch.port),
        "BENTOML_HOME": str(CACHE / "bentoml-home"),
        "BENTOML_DO_NOT_TRACK": "True",
        **dict.fromkeys(threads, "1"),
    }
