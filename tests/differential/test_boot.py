"""Starts that fail: exit codes, what is said, nothing left behind; and the command line."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

import pytest

from .servers import Pair, Server, Service, port_open, service, standing_in
from .wire import exchange, request

BOOT, FLAGS = 3, 1
INIT = "def init():\n    pass\n"
RUN = "def run(data):\n    return data\n"


def text(source: str, **env: str) -> Service:
    return service(None, env, ("--entry_script", "score.py"), {"score.py": source})


@dataclass(frozen=True)
class Failure:
    """A start that fails with one exit code, and what both sides say about it."""

    id: str
    service: Service
    says: tuple[str, ...] = ()
    code: int = BOOT


FAILURES = [
    Failure("missing-script", service(None, args=("--entry_script", "absent.py")), ("absent.py",)),
    Failure("script-is-a-folder", service(None, args=("--entry_script", "d"), files={"d/x": ""}), ("/d",)),
    Failure("syntax-error", text(INIT + "def run(data:\n"), ("SyntaxError", "score.py", "line 3")),
    Failure(
        "bad-indentation",
        text("def init():\n        a = 1\n    b = 2\n" + RUN),
        ("IndentationError: unindent does not match any outer indentation level",),
    ),
    Failure("missing-package", text("import no_such_package_at_all\n" + INIT + RUN), ("no_such_package_at_all",)),
    Failure(
        "import-error-in-helper",
        service(
            None,
            args=("--entry_script", "score.py"),
            files={"score.py": "import helper\n" + INIT + RUN, "helper.py": "from os import no_such_name\n"},
        ),
        ("no_such_name", "helper.py"),
    ),
    Failure("raises-at-import", text("raise ValueError('wrong place')\n"), ("ValueError: wrong place", "line 1")),
    Failure("exits-0-at-import", text("import sys\nsys.exit(0)\n")),
    Failure("empty-script", text(""), ("init()",)),
    Failure("no-init", text(RUN), ("init()", "score.py")),
    Failure("no-run", text(INIT), ("run()", "score.py")),
    Failure(
        "run-takes-headers-alone",
        text(INIT + "def run(request_headers):\n    pass\n"),
        ("run() needs to accept", "request_headers"),
    ),
    Failure("run-star-args", text(INIT + "def run(*args):\n    pass\n"), ("run()", "*args")),
    Failure("run-star-kwargs", text(INIT + "def run(data, **kwargs):\n    pass\n"), ("run()", "**kwargs")),
    Failure("run-positional-only", text(INIT + "def run(data, /):\n    pass\n"), ("run()", "positional-only")),
    Failure(
        "rawhttp-with-schema",
        text(
            "from azureml.contrib.services.aml_request import rawhttp\n"
            "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType\n"
            "from inference_schema.schema_decorators import input_schema\n"
            + INIT
            + "@rawhttp\n@input_schema('a', StandardPythonParameterType(1))\ndef run(a):\n    return a\n"
        ),
        ("cannot be decorated with both @rawhttp and @input_schema",),
    ),
    Failure(
        "init-raises",
        text("def init():\n    raise OSError('no model here')\n" + RUN),
        ("User's init function failed", "OSError: no model here", "line 2"),
    ),
    Failure("init-exits-0", text("import sys\ndef init():\n    sys.exit(0)\n" + RUN), ("User's init function failed",)),
    Failure("timeout-is-no-number", service("plain.py", {"SCORING_TIMEOUT_MS": "soon"}), ("SCORING_TIMEOUT_MS",)),
    Failure("config-is-no-json", service("plain.py", files={"config.json": "{"}), ("config",)),
    Failure(
        "config-with-bad-value",
        service("plain.py", files={"config.json": '{"SCORING_TIMEOUT_MS": "soon"}'}),
        ("SCORING_TIMEOUT_MS",),
    ),
    Failure("no-script", service(None), ("entry_script",), FLAGS),
    Failure("unknown-flag", service("plain.py", args=("--no_such_flag", "1")), ("--no_such_flag",), FLAGS),
    Failure("flag-without-value", service("plain.py", args=("--model_dir",)), ("--model_dir",), FLAGS),
    Failure("port-is-no-number", service("plain.py", args=("--port", "http")), ("--port", "http"), FLAGS),
    Failure("port-0", service("plain.py", args=("--port", "0")), ("--port",), FLAGS),
    Failure("port-too-large", service("plain.py", args=("--port", "65536")), ("--port",), FLAGS),
    Failure("no-workers", service("plain.py", args=("--worker_count", "0")), ("--worker_count",), FLAGS),
    Failure("health-port-0", service("plain.py", args=("--health_port", "0")), ("--health_port",), FLAGS),
]


def said(server: Server) -> str:
    return server.stdout + server.stderr


@pytest.mark.parametrize("failure", [pytest.param(failure, id=failure.id) for failure in FAILURES])
def test_failed_start_says_why_and_leaves_nothing(start, failure):
    pair: Pair = start(failure.service, ready=False)
    for server in pair.both:
        assert server.wait_exit() == failure.code, server.describe()
        assert [words for words in failure.says if words not in said(server)] == [], server.describe()
        assert not port_open(server.port)
        assert server.children() == []


def test_model_folder_is_listed_when_init_fails(start):
    files = {f"models/m/1/file{n:03}.bin": "x" for n in range(3)} | {"models/z.pkl": "x"}
    files["score.py"] = "def init():\n    raise OSError('no model')\n" + RUN
    what = service(None, {"AZUREML_MODEL_DIR": "{root}/models"}, ("--entry_script", "score.py"), files)
    pair = start(what, ready=False)
    codes = [server.wait_exit() for server in pair.both]
    lists = [re.findall(r"azmlinfsrv - ( *\S+/?)$", server.stdout, re.MULTILINE) for server in pair.both]

    assert codes == [BOOT, BOOT]
    assert all("azmlinfsrv - Model Directory Contents:" in server.stdout for server in pair.both)
    expected = ["models/", "    m/", "        1/", *[f"            file{n:03}.bin" for n in range(3)], "    z.pkl"]
    assert lists == [expected, expected]


def test_long_model_folder_is_cut_after_200_lines(start):
    files = {f"models/{n:04}.bin": "" for n in range(250)}
    files["score.py"] = "def init():\n    raise OSError('no model')\n" + RUN
    what = service(None, {"AZUREML_MODEL_DIR": "{root}/models"}, ("--entry_script", "score.py"), files)
    for server in start(what, ready=False).both:
        assert server.wait_exit() == BOOT
        assert "0198.bin" in server.stdout
        assert "0199.bin" not in server.stdout
        assert "Output Truncated. First 200 lines shown." in server.stdout


def test_taken_port_is_named_and_its_owner_keeps_serving(start):
    with socket.socket() as owner:
        owner.bind(("0.0.0.0", 0))
        owner.listen()
        port = owner.getsockname()[1]
        pair = start(service("plain.py", args=("--port", str(port))), ready=False)
        codes = [server.wait_exit() for server in pair.both]

        assert all(code != 0 for code in codes)
        assert codes[1] == (codes[0] if standing_in() else BOOT)
        assert str(port) in said(pair.ours)
        assert all("in use" in said(server).lower() for server in pair.both)
        assert port_open(port)


def command(start, *flags: str) -> list[tuple[int, str]]:
    """Runs both commands with these flags alone; (exit code, output) of each."""
    pair = start(service(None, flag=False, args=flags), ready=False)
    return [(server.wait_exit(), said(server)) for server in pair.both]


def test_help_lists_every_flag(start):
    flags = ("entry_script", "model_dir", "port", "health_port", "worker_count", "config_file")
    flags += ("appinsights_instrumentation_key", "access_control_allow_origins")
    (reference_code, reference), (our_code, ours) = command(start, "--help")

    assert (reference_code, our_code) == (1, 1 if standing_in() else 0)  # E: help is no failure
    assert all(f"--{flag}" in output for flag in flags for output in (reference, ours))
    assert all(default in output for default in ("5001", "5000") for output in (reference, ours))


def test_bad_flag_is_answered_with_the_help(start):
    for code, output in command(start, "--worker_count", "-1"):
        assert code == FLAGS
        assert "--entry_script" in output
        assert "worker_count" in output


def test_nothing_answers_before_init_is_done(start):
    source = "import time\ndef init():\n    time.sleep(1)\n" + RUN
    pair = start(text(source), ready=False)
    for server in pair.both:
        started = time.monotonic()
        assert server.wait_ready(started + 30)
        assert "init has completed successfully" in server.stdout


def test_separate_health_port_serves_everything(start):
    what = service(
        "plain.py",
        {"SEPERATE_HEALTH_ENDPOINT": "true"},
        ("--health_port", "{health_port}"),
    )
    for server in start(what).both:
        answers = [
            exchange(port, raw).body
            for port in (server.port, server.health_port)
            for raw in (request("GET", "/"), request("POST", body="1"))
        ]

        assert answers[0] == answers[2] == b"Healthy"
        assert answers[1] == answers[3] != b""
        assert f"Health Port: {server.health_port}" in server.stdout


def test_two_workers_each_run_init(start):
    source = "import os\ndef init():\n    print('init of', os.getpid())\n" + RUN
    for server in start(text(source, WORKER_COUNT="2")).both:
        deadline = time.monotonic() + 20
        while len(found := set(re.findall(r"init of (\d+)", server.stdout))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)

        assert len(found) == 2
        assert "Worker Count: 2" in server.stdout


def test_preloaded_app_runs_init_once_for_all_workers(start):
    source = "import os\ndef init():\n    print('init of', os.getpid())\n" + RUN
    for server in start(text(source, WORKER_COUNT="2", WORKER_PRELOAD="true")).both:
        deadline = time.monotonic() + 20
        while server.stderr.count("Booting worker") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)

        assert server.stderr.count("Booting worker") == 2
        assert server.stdout.count("print - init of") + len(re.findall(r"^init of", server.stdout, re.M)) == 1
