"""What cannot be served ends with exit code 3 (1 for flags), says what is wrong and what to do, and leaves nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT, alive, free_port, serving, until

GOOD = "def init():\n    pass\ndef run(raw_data):\n    return raw_data\n"


class Ended:
    """A start of the server that came to nothing."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.port = free_port()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AML", "AZUREML", "SCORING", "WORKER"))}
        command = [sys.executable, "-m", "scoring_runtime", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**clean, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            self.text, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.text, _ = self.process.communicate()
        self.code = self.process.returncode

    def left(self) -> list[int]:
        """Processes of its session that still live."""
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if session_of(pid) == self.process.pid and alive(pid)]


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def boot(folder: Path, text: str | None, *arguments: str, **environ: str) -> Ended:
    """Start with this script, and check what is true of every failed start."""
    if text is not None:
        (folder / "score.py").write_text(text)
    ended = Ended(folder, "score.py", *arguments, **environ)
    until(lambda: not ended.left())
    with socket.socket() as probe:  # the port is free again
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", ended.port))
    return ended


SCRIPTS = {
    "syntax error": (GOOD + "def broken(:\n    pass\n", ["SyntaxError", "score.py", "line 5", "def broken(:", "Fix"]),
    "indentation error": ("def init():\npass\n", ["IndentationError", "line 2", "Fix"]),
    "tabs and spaces": ("if 1:\n        a = 1\n\tb = 2\n", ["TabError", "line 3"]),
    "NUL byte": (GOOD + "\0", ["score.py", "null byte"]),
    "missing package": ("import no_such_package\n" + GOOD, ["ModuleNotFoundError", "pip install no_such_package"]),
    "missing submodule": ("import sklearn_no.x\n" + GOOD, ["pip install sklearn_no"]),
    "missing name": ("from json import no_such_name\n" + GOOD, ["ImportError", "no_such_name", "line 1"]),
    "raises at import": (GOOD + "1 / 0\n", ["ZeroDivisionError", "line 5", "must not raise"]),
    "sys.exit at import": ("import sys\nsys.exit(0)\n" + GOOD, ["SystemExit", "must not raise or exit"]),
    "KeyboardInterrupt at import": ("raise KeyboardInterrupt\n" + GOOD, ["KeyboardInterrupt"]),
    "no init": ("def run(raw_data):\n    pass\n", ["does not have a init()", "Functions found: run", "def init():"]),
    "no run": ("def init():\n    pass\ndef score(x):\n    pass\n", ["run()", "Functions found: init, score"]),
    "empty": ("", ["init()", "Functions found: none"]),
    "run not callable": ("def init():\n    pass\nrun = 5\n", ["run in", "is a int", "expected a function"]),
    "init not callable": ("init = None\ndef run(raw_data):\n    pass\n", ["init"]),
    "*args": ("def init():\n    pass\ndef run(*args):\n    pass\n", ["*args", "Name each parameter"]),
    "**kwargs": ("def init():\n    pass\ndef run(a, **kwargs):\n    pass\n", ["run(a, **kwargs)"]),
    "positional-only": ("def init():\n    pass\ndef run(a, /):\n    pass\n", ["positional-only"]),
    "no parameter": ("def init():\n    pass\ndef run():\n    pass\n", ["argument for input data"]),
    "only request_headers": (
        "def init():\n    pass\ndef run(request_headers):\n    pass\n",
        ['other than "request_headers"', "def run(raw_data):"],
    ),
    "rawhttp and schema": (
        """
import numpy as np
from azureml_inference_server_http.api.aml_request import rawhttp
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema
def init():
    pass
@rawhttp
@input_schema("data", NumpyParameterType(np.array([1.0])))
def run(data):
    pass
""",
        ["@rawhttp", "@input_schema", "Keep one"],
    ),
    "init raises": (
        "def init():\n    open('no-such-model')\n" + GOOD[21:],
        ["User's init function failed", "FileNotFoundError", "line 2", "Fix init()"],
    ),
    "sys.exit in init": ("import sys\ndef init():\n    sys.exit(0)\n" + GOOD[21:], ["SystemExit", "Fix init()"]),
    "init takes an argument": ("def init(model):\n    pass\n" + GOOD[21:], ["TypeError", "init"]),
}


PRELOADED = ["missing package", "no init", "init raises", "sys.exit at import", "sys.exit in init"]


@pytest.mark.parametrize(("name", "preload"), [*((n, "false") for n in SCRIPTS), *((n, "true") for n in PRELOADED)])
def test_a_script_that_cannot_be_served_ends_with_3_and_says_why(tmp_path: Path, name: str, preload: str) -> None:
    text, expected = SCRIPTS[name]
    ended = boot(tmp_path, text, WORKER_COUNT="2", WORKER_PRELOAD=preload)
    assert ended.code == 3
    assert [e for e in expected if e not in ended.text] == [], ended.text


def test_a_missing_script_and_a_folder_as_script(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(GOOD)
    ended = boot(tmp_path, None)
    assert (ended.code, "Traceback" in ended.text) == (3, False)
    assert "No such file or directory" in ended.text
    assert "Current contents" in ended.text
    assert "other.py" in ended.text
    (tmp_path / "score.py").mkdir()
    ended = boot(tmp_path, None)
    assert (ended.code, "Traceback" in ended.text) == (3, False)
    assert "score.py" in ended.text


def test_a_script_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "score.py").symlink_to("/proc/self/mem")  # root may read any file, but not this one
    ended = boot(tmp_path, None)
    assert ended.code == 3
    assert "score.py" in ended.text or "/proc" in ended.text


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_failed_init_lists_the_model_folder_up_to_200_lines(tmp_path: Path, preload: str) -> None:
    models = tmp_path / "models"
    (models / "deep" / "er").mkdir(parents=True)
    for n in range(250):
        (models / f"file-{n:03d}.bin").touch()
    ended = boot(tmp_path, SCRIPTS["init raises"][0], "--model_dir", str(models), WORKER_PRELOAD=preload)
    assert ended.code == 3
    assert "Model Directory Contents:" in ended.text
    assert "er/" in ended.text
    assert ended.text.count("file-") == 197  # models/, deep/ and er/ are lines too
    assert "Output Truncated. First 200 lines shown." in ended.text


def test_a_taken_port_is_named_and_the_running_server_stays(tmp_path: Path) -> None:
    with serving(GOOD, tmp_path) as server:
        ended = Ended(tmp_path, "score.py", "--port", str(server.port))
        assert ended.code == 3
        for expected in (f":{server.port}", "Address already in use", "--port", "ss -ltnp"):
            assert expected in ended.text
        assert "Traceback" not in ended.text
        assert ended.left() == []
        assert server.post("x").status_code == 200


def test_a_taken_health_port_frees_the_other(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        health = str(taken.getsockname()[1])
        ended = boot(tmp_path, GOOD, "--health_port", health, SEPERATE_HEALTH_ENDPOINT="true")
    assert ended.code == 3
    assert f":{health}: Address already in use" in ended.text


def test_a_host_that_is_not_here(tmp_path: Path) -> None:
    ended = boot(tmp_path, GOOD, SCORING_HOST="192.0.2.1")
    assert ended.code == 3
    assert "Cannot listen on 192.0.2.1" in ended.text
    assert "Traceback" not in ended.text


@pytest.mark.parametrize("host", ["no.such.host.invalid", "::1::", "1.2.3.4.5"])
def test_a_host_that_is_none(tmp_path: Path, host: str) -> None:
    ended = boot(tmp_path, GOOD, SCORING_HOST=host)
    assert (ended.code, "Traceback" in ended.text) == (3, False)
    assert f"Cannot listen on {host}" in ended.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_COUNT", "0"),
        ("WORKER_COUNT", "many"),
        ("WORKER_COUNT", "100000"),
        ("SCORING_TIMEOUT_MS", "-1"),
        ("SCORING_TIMEOUT_MS", "1.5"),
        ("SCORING_MAX_CONCURRENT_REQUESTS", "0"),
        ("SCORING_MAX_BODY_BYTES", "1 MB"),
        ("SCORING_KEEP_ALIVE", ""),
        ("SCORING_ALLOW_NAN", "maybe"),
        ("AZUREML_LOG_LEVEL", "LOUD"),
        ("SCORING_PORT", "70000"),
    ],
)
def test_a_bad_value_names_its_variable_the_value_and_what_was_expected(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "score.py").write_text(GOOD)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AML", "AZUREML", "SCORING", "WORKER"))}
    done = subprocess.run(
        [sys.executable, "-m", "scoring_runtime", "score.py"],
        env={**clean, "PYTHONPATH": str(ROOT), name: value},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 3
    for expected in (name, repr(value), "expected", "environment"):
        assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-flag"],
        ["score.py", "--port", "x"],
        ["score.py", "--port", "0"],
        ["score.py", "--worker_count", "-1"],
        ["score.py", "another.py"],
        [],
    ],
)
def test_bad_flags_end_with_1_and_help(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "score.py").write_text(GOOD)
    ended = Ended(tmp_path, *arguments)
    assert ended.code == 1
    assert "error:" in ended.text
    assert "usage:" in ended.text
    assert "Traceback" not in ended.text


@pytest.mark.parametrize("text", ["{", "[]", '{"WORKER_COUNT": "many"}', '{"WORKER_COUNT": true}', "\x00"])
def test_a_bad_config_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    ended = boot(tmp_path, GOOD)
    assert (ended.code, "Traceback" in ended.text) == (3, False)
    assert "config.json" in ended.text


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"version": 2}', '{"version": 1, "handlers": {"h": {"class": "no.such.Handler"}}}', "\x00", "5"],
)
def test_a_bad_logging_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "logging.json").write_text(text)
    ended = boot(tmp_path, GOOD)
    assert (ended.code, "Traceback" in ended.text) == (3, False)
    assert "logging.json" in ended.text


def test_secrets_are_never_printed(tmp_path: Path) -> None:
    key = "deadbeef-0000-4000-8000-00c0ffee0001"
    for value in (key, "not-a-uuid-but-secret"):
        environ = {"AML_APP_INSIGHTS_KEY": value, "AML_APP_INSIGHTS_ENABLED": "true", "AZUREML_LOG_LEVEL": "DEBUG"}
        with serving(GOOD, tmp_path, **environ) as server:
            assert server.post("x").status_code == 200
            server.client.get("/swagger.json")
            server.client.get("/metrics")
            server.stop()
            assert value not in server.out() + server.err()
        ended = boot(tmp_path, GOOD, SCORING_KEEP_ALIVE="x", **environ)
        assert ended.code == 3
        assert value not in ended.text
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"AML_APP_INSIGHTS_KEY": value, "WORKER_COUNT": "x"}))
        assert value not in boot(tmp_path, GOOD).text
        config.unlink()
