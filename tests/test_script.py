"""A script is loaded under a name of its own, and what is wrong with it is said with where and how to mend it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from scoring_runtime.errors import ScriptInitError, ScriptLoadError, ScriptSignatureError
from scoring_runtime.script import contents, extend_path, load_script, model_listing, script_path

GOOD = "def init():\n    pass\ndef run(raw_data):\n    return raw_data\n"


@pytest.fixture(autouse=True)
def _modules_and_path_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [n for n in sys.modules if n.startswith("entry_module_")]:  # of scripts that other tests have loaded
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("entry_module_", "main", "driver_target")):
            del sys.modules[name]


def write(folder: Path, text: str, name: str = "score.py") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_script_is_a_module_that_pickle_can_find(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "import dataclasses, pickle\n@dataclasses.dataclass\nclass A:\n    b: int = 1\n")
    script = load_script("score.py", str(tmp_path))
    assert (script.path, script.module.__name__) == (str(path), "entry_module_score")
    import pickle

    value = script.module.A()
    assert pickle.loads(pickle.dumps(value)) == value
    script.init()
    assert ([p.name for p in script.data_parameters], script.takes_headers) == (["raw_data"], False)


def test_two_scripts_of_one_name_and_names_that_are_none(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, GOOD, "my-score 2.py")
    names = [load_script(n, str(tmp_path)).module.__name__ for n in ("score.py", "score.py", "my-score 2.py")]
    assert names == ["entry_module_score", "entry_module_score_2", "entry_module_score_3"]


def test_without_a_name_main_py_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ScriptLoadError, match=r"(?s)No score script found.*main\.py.*Current contents"):
        script_path(None, str(tmp_path))
    write(tmp_path, GOOD, "main.py")
    assert load_script(None, str(tmp_path)).module.__name__ == "main"


def test_run_may_take_the_headers(tmp_path: Path) -> None:
    write(tmp_path, "def init():\n    pass\ndef run(data, *, request_headers):\n    pass\n")
    script = load_script("score.py", str(tmp_path))
    assert ([p.name for p in script.data_parameters], script.takes_headers) == (["data"], True)


def test_a_drivers_run_is_the_scripts_own(tmp_path: Path) -> None:
    write(tmp_path, "def run(real):\n    return real\n", "driver_target.py")
    write(tmp_path, "import driver_target as driver_module\ndef init():\n    pass\ndef run(forwarded):\n    pass\n")
    extend_path(str(tmp_path), None, "score.py")
    script = load_script("score.py", str(tmp_path))
    assert script.run is script.module.driver_module.run


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("", ScriptSignatureError, r"init\(\) function defined\. Functions found: none\. Add `def init\(\):`"),
        ("def init():\n    pass\n", ScriptSignatureError, r"run\(\).*Functions found: init.*`def run\(raw_data\):`"),
        ("def init():\n    pass\nrun = 1\n", ScriptSignatureError, "is a int, expected a function"),
        ("def init():\n    pass\ndef run(*a):\n    pass\n", ScriptSignatureError, r"run\(\*a\).*Name each parameter"),
        ("def init():\n    pass\ndef run():\n    pass\n", ScriptSignatureError, "an argument for input data"),
        ("def init():\n    pass\ndef run(request_headers):\n    pass\n", ScriptSignatureError, "other than"),
        ("def f(:\n", ScriptLoadError, r"SyntaxError(?s:.*)line 1(?s:.*)Fix that line"),
        ("import PIL_no.x", ScriptLoadError, "pip install PIL_no"),
        ("raise ModuleNotFoundError('x', name='cv2')", ScriptLoadError, "pip install opencv-python-headless"),
        (
            "raise ModuleNotFoundError('x', name='pyspark.sql')",
            ScriptLoadError,
            r"pip install 'inference-schema\[pyspark-support\]'",
        ),
        ("raise RuntimeError('[JAVA_GATEWAY_EXITED] exited')", ScriptLoadError, "apt-get install openjdk-17"),
        ("raise ModuleNotFoundError('x')", ScriptLoadError, "must not raise or exit"),
        ("raise SystemExit", ScriptLoadError, r"score\.py: SystemExit(?s:.*)line 1"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, error: type[Exception], expected: str) -> None:
    write(tmp_path, text)
    with pytest.raises(error, match=expected):
        load_script("score.py", str(tmp_path))


def test_a_failed_import_leaves_no_module(tmp_path: Path) -> None:
    write(tmp_path, "1 / 0")
    with pytest.raises(ScriptLoadError, match="ZeroDivisionError"):
        load_script("score.py", str(tmp_path))
    assert "entry_module_score" not in sys.modules


def test_a_file_that_is_no_python_is_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "score.txt")
    with pytest.raises(ScriptLoadError, match=r"score\.txt is not a Python file"):
        load_script("score.txt", str(tmp_path))


@pytest.mark.parametrize("raised", ["ValueError('bad model')", "SystemExit(0)", "KeyboardInterrupt"])
def test_whatever_init_raises_is_an_init_error(tmp_path: Path, raised: str) -> None:
    write(tmp_path, f"def init():\n    raise {raised}\n" + GOOD[21:])
    script = load_script("score.py", str(tmp_path))
    with pytest.raises(ScriptInitError, match=r"(?s)init\(\) of .*score\.py raised.*line 2, in init.*Fix init\(\)"):
        script.init()


def test_the_import_path_has_the_scripts_folder_before_what_is_installed(tmp_path: Path) -> None:
    before = list(sys.path)
    for _ in range(2):  # once is enough
        extend_path(str(tmp_path), "lib", "src/score.py")
    assert [folder for folder in sys.path if folder not in before] == [
        str(tmp_path / "src"),
        str(tmp_path),
        str(tmp_path / "lib"),
    ]
    [installed, *_] = [n for n, folder in enumerate(sys.path) if folder.endswith("site-packages")]
    assert sys.path.index(str(tmp_path / "src")) < installed


def test_a_folder_is_listed_up_to_fifty_names(tmp_path: Path) -> None:
    assert contents(str(tmp_path)).endswith(": nothing\n")
    assert "not an accessible directory" in contents(str(tmp_path / "none"))
    for n in range(60):
        write(tmp_path, "", f"{n:02d}.txt")
    assert contents(str(tmp_path)).endswith("49.txt and 10 more\n")


def test_the_model_listing_is_a_tree_and_ends_at_200_lines(tmp_path: Path) -> None:
    assert list(model_listing(None)) == list(model_listing(str(tmp_path / "none"))) == []
    (tmp_path / "model" / "sub").mkdir(parents=True)
    write(tmp_path / "model" / "sub", "", "weights.bin")
    expected = ["Model Directory Contents:", "model/", "    sub/", "        weights.bin"]
    assert list(model_listing(str(tmp_path / "model"))) == expected
    for n in range(300):
        write(tmp_path / "model", "", f"{n}.bin")
    lines = list(model_listing(str(tmp_path / "model")))
    assert (len(lines), lines[-1]) == (202, "Output Truncated. First 200 lines shown.")


def test_functions_of_a_script_go_to_other_processes_whole(tmp_path: Path) -> None:
    """As loky and Spark send them: a process that cannot import the script can call them."""
    write(tmp_path, "def init():\n    pass\ndef run(data):\n    return data + 1\n")
    pickled = cloudpickle.dumps(load_script("score.py", str(tmp_path)).run)
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer)(41))"
    done = subprocess.run([sys.executable, "-c", program], input=pickled, capture_output=True, timeout=60)
    assert done.stdout.decode() == "42\n", done.stderr.decode()
