"""`scoring check`: a script for each thing that can go wrong, taken through its life by a real child process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.cli.findings import CLOUD, findings, probes
from scoring_runtime.cli.main import main
from tests.serving import until

GOOD = """
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
def init(): print("noise")
@input_schema("name", StandardPythonParameterType("Grace"))
def run(name): return {"message": f"Hello, {name}!"}
"""
RUN = "def run(raw_data): return len(raw_data)\n"
TEXT = f"def init(): pass\n{RUN}"
IMPORT_FAILS = "the script cannot be imported: ScriptLoadError: Failed to import user script"


def with_init(statement: str, top: str = "") -> str:
    return f"{top}\ndef init(): {statement}\n{RUN}"


def with_run(body: str, top: str = "") -> str:
    return f"{top}\ndef init(): pass\ndef run(raw_data):\n    {body}\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "score.py"


def check(path: Path, text: str, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, dict[str, Any]]:
    path.write_text(text)
    with pytest.raises(SystemExit) as left:
        main(["check", str(path), "--json", *flags])
    out, err = capsys.readouterr()
    assert out, err
    return int(left.value.code or 0), json.loads(out)


def told(document: dict[str, Any], level: str = "error") -> list[tuple[str, str]]:
    """The first line of each finding of that level, and its name in the cloud."""
    found = [one for one in document["findings"] if one["level"] == level]
    return [(one["what"].splitlines()[0], one["cloud"]) for one in found]


def test_a_good_script_passes_with_its_sample_and_gets_its_settings(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = check(script, GOOD, capsys)

    stages = {stage["stage"]: stage for stage in document["stages"]}
    assert (code, document["passed"], document["findings"]) == (0, True, [])
    assert stages["answer"]["beginning"] == '{"message": "Hello, Grace!"}'
    assert 0 < len(stages["times"]["seconds"]) <= 5
    assert stages["left"] == {"stage": "left", "threads": [], "processes": [], "ports": []}
    assert document["settings"]["startupProbe"] == {"path": "/", "periodSeconds": 2, "failureThreshold": 15}
    assert 0.1 <= document["settings"]["memoryInGB"] <= 2


def test_people_read_it_too(script: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script.write_text(GOOD.replace("return {", "return not_there or {"))
    with pytest.raises(SystemExit) as left:
        main(["check", str(script)])
    out, err = capfd.readouterr()

    assert left.value.code == 1
    assert "  error: the sample could not be scored: NameError: name 'not_there' is not defined" in out
    assert "         in the cloud: ValidateScoringFailed" in out
    assert "  livenessProbeRequirements: {" in out
    assert out.rstrip().endswith("score.py: this would fail")
    assert "noise" in err
    assert "noise" not in out


@pytest.mark.parametrize(
    ("text", "what", "cloud"),
    [
        (
            f"import sklearn_no, yaml_no\n{TEXT}",
            "packages that the script imports are not installed: sklearn_no, yaml_no",
            CLOUD["import"],
        ),
        ("def init(:", IMPORT_FAILS, CLOUD["import"]),
        ("1 / 0", IMPORT_FAILS, CLOUD["import"]),
        ("def init(): pass", "ScriptSignatureError: User script at", CLOUD["function"]),
        ("def init(): pass\ndef run(): pass", "ScriptSignatureError: run() needs to accept", CLOUD["function"]),
        (with_init("raise OSError('no model')"), "init() failed: ScriptInitError: init() of", CLOUD["init"]),
        (with_init("os._exit(3)", "import os"), "the process ended in init() (exit code 3)", CLOUD["died"]),
        ("import os\nos.kill(os.getpid(), 9)", "the process was killed at the import (SIGKILL)", CLOUD["memory"]),
        (with_init("time.sleep(60)", "import time"), "still busy in init() when the time was over", CLOUD["probe"]),
    ],
    ids=["packages", "syntax", "raises", "no run", "no parameter", "init raises", "init exits", "killed", "hangs"],
)
def test_what_keeps_a_service_from_starting_is_named_as_the_cloud_would(
    text: str, what: str, cloud: str, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = check(script, text, capsys, "--timeout", "3" if "sleep" in text else "60")

    assert code == 1
    ((said, named),) = told(document)
    assert said.startswith(what)
    assert named == cloud


def test_missing_packages_come_with_their_pip_names(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "import cv2, yaml_no\ntry:\n    import absent_but_tried\nexcept ImportError:\n    pass\n"
    _, document = check(script, text + TEXT, capsys)

    assert document["findings"][0]["fix"].startswith("pip install opencv-python-headless yaml_no; and name them")


@pytest.mark.parametrize(
    ("text", "level", "what"),
    [
        (with_run("return object()"), "error", "the sample could not be scored: "),
        (with_run("return '[1, 2]'"), "warning", "run() returns JSON as text: clients get it in quotes"),
        ("async def run(raw_data): return 1\ndef init(): pass", "", ""),
        (with_run("yield b'a'"), "", ""),
        (with_init("os.environ['AZUREML_MODEL_DIR']", "import os"), "error", "init() failed: ScriptInitError"),
        (
            with_init("held.append(socket.create_server(('127.0.0.1', 0)))", "import socket\nheld = []"),
            "warning",
            "the script listens on port ",
        ),
        (
            with_init("subprocess.Popen(['sleep', '30'])", "import subprocess"),
            "warning",
            "the script leaves processes behind: sleep 30",
        ),
        (
            with_init("threading.Timer(30, print).start()", "import threading"),
            "note",
            "threads go on after run(): Thread-",
        ),
        (
            with_run("calls.append(1); assert len(calls) < 2", "calls = []"),
            "error",
            "the sample, sent again, could not be scored: AssertionError",
        ),
    ],
    ids=["not json", "json twice", "async", "stream", "model dir", "port", "process", "thread", "second run"],
)
def test_what_goes_wrong_later_is_found_too(
    text: str, level: str, what: str, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (script.parent / "sample.json").write_text("{}")
    code, document = check(script, text, capsys, "--input", str(script.parent / "sample.json"))

    assert code == (1 if level == "error" else 0)
    said = told(document, level)
    assert [line for line, _ in said if line.startswith(what)] != [] if level else said == []


def test_memory_that_will_not_do_is_an_error(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = check(script, TEXT, capsys, "--memory", "0.01")

    assert code == 1
    ((what, cloud),) = told(document)
    assert "leaves no room in 0.01 GB" in what
    assert cloud == "PodOutOfMemory"
    assert ("run() was not called: there is no sample request", "") in told(document, "note")


def test_the_model_folder_is_handed_on(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    text = with_init("assert os.environ.get('AZUREML_MODEL_DIR', '/').startswith('/')", "import os")

    assert told(check(script, text, capsys, "--model_dir", str(script.parent))[1], "warning") == []
    _, without = check(script, text, capsys)
    assert "the script asks for its model folder" in told(without, "warning")[0][0]


def test_quiet_says_only_what_matters(script: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script.write_text(GOOD)
    with pytest.raises(SystemExit) as left:
        main(["check", str(script), "--quiet"])

    assert left.value.code == 0
    assert capfd.readouterr() == (f"{script}: nothing stands in its way\n", "")


def test_flags_that_nobody_knows_are_refused(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["check", str(script)], ["service", "plan", "--rps", "1", "--seconds", "1"]):
        with pytest.raises(SystemExit) as left:
            main([*words, "--shuffle"])

        assert left.value.code == 2
        assert "unrecognized arguments: --shuffle" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", str(script)])

    assert left.value.code == 2
    assert f"{script}: no such file." in capsys.readouterr().err


# decisions from numbers


def stages(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    base: dict[str, dict[str, Any]] = {
        "start": {"imports": [], "model_dir": False, "memory_bytes": 5e7},
        "import": {"seconds": 1.0},
        "init": {"seconds": 2.0, "memory_bytes": 1e9},
        "style": {"schema": True, "sample": True},
        "run": {"seconds": 0.1},
        "answer": {"status": 200, "encoded_twice": False, "beginning": "1"},
        "times": {"seconds": [0.1, 0.1]},
        "left": {"threads": [], "processes": [], "ports": []},
        "end": {},
    }
    return [{"stage": name, **facts} for name, facts in {**base, **changes}.items()]


def lines(**changes: dict[str, Any]) -> list[str]:
    found = findings(stages(**changes), ended="", model_dir=None, memory_gb=None, packages={})
    return [f"{one.level}: {one.what}" for one in found]


def test_slow_starts_and_slow_runs() -> None:
    assert lines() == []
    assert lines(init={"seconds": 400}) == [
        "error: import and init() take 401 s, longer than the 310 s that AKS waits by default"
    ]
    assert lines(run={"seconds": 3.0}) == ["warning: the first run() takes 3.0 s, the next ones 0.100 s"]
    assert lines(run={"seconds": 6.0}, times={"seconds": [6.0]}) == ["warning: run() takes 6.0 s"]
    assert lines(run={"seconds": 61.0}, times={"seconds": []}) == ["error: run() takes 61.0 s"]
    assert lines(answer={"status": 500, "encoded_twice": False, "beginning": "no"}) == [
        "error: the sample was answered 500: no"
    ]
    assert lines(left={"threads": [], "processes": [], "ports": [5001]}) == ["error: the script listens on port 5001"]


def test_probes_have_three_times_the_patience_that_the_start_needs() -> None:
    slow = probes(stages(init={"seconds": 119.0, "memory_bytes": 2e9}))

    assert slow["startupProbe"] == {"path": "/", "periodSeconds": 10, "failureThreshold": 36}
    assert slow["livenessProbeRequirements"] == {"initialDelaySeconds": 360, "timeoutSeconds": 2}
    assert (slow["memoryInGB"], slow["WORKER_TIMEOUT"]) == (2.6, 360)
    assert probes([]) == {}


def test_the_children_are_gone(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those of a script that leaves some behind."""
    mark = f"{sys.executable} -c import time; time.sleep(97)"
    command = repr(mark.split(" ", 2))
    text = with_init(
        f"subprocess.Popen({command}), subprocess.Popen({command}, start_new_session=True)", "import subprocess"
    )
    _, document = check(script, text, capsys)

    assert "time.sleep(97)" in str(document["findings"])
    until(lambda: not any(b"time.sleep(97)" in words(path) for path in Path("/proc").glob("[0-9]*/cmdline")))


def test_forked_process_that_stays_does_not_keep_the_check(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = with_init("os.fork() == 0 and time.sleep(300) or os._exit(3)", "import os, time")

    _, document = check(script, text, capsys, "--timeout", "60")

    assert told(document) == [("the process ended in init() (exit code 3)", CLOUD["died"])]


def test_time_that_runs_out_between_two_stages_is_no_exit(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = script.with_name("sample.json")
    sample.write_text("{}")
    flags = ("--input", str(sample), "--timeout", "2")
    _, document = check(script, with_run("time.sleep(1.5)", "import time"), capsys, *flags)

    assert told(document)[0][0].endswith("when the time was over (timeout of 2 s)")


def words(path: Path) -> bytes:
    try:
        return path.read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""
