"""What the documents show is what happens: snippets are run, tables compared, links followed.

`python -m tests.test_docs` writes the tables that derive from the code.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scoring_runtime.cli.serve import parser
from scoring_runtime.errors import Misdirected, Unauthorized
from scoring_runtime.settings import ROWS, Row
from tests.differential.improvements import IMPROVEMENTS
from tests.serving import ROOT, Server, free_port, serving, until
from tests.snippets import Shell, blocks, documents
from tests.test_layers import OURS

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
READMES = sorted((ROOT / "examples").glob("[!b]*/README.md"))  # tests/batch has those of batch runs
#: Written by what they describe, not by hand.
ELSEWHERE = {"benchmarks.md", "performance.md", "batch.md", "images.md"}
MINE = [page for page in PAGES if page.name not in ELSEWHERE]
LANGUAGES = {"bash", "python", "json", "text", "yaml"}

# The groups of docs/settings.md, each with its first row.
GROUPS = {
    "entry_script": "The script and what surrounds it",
    "host": "Ports and processes",
    "scoring_timeout_ms": "Limits",
    "accelerator": "Accelerators",
    "service_name": "What clients see",
    "auth": "Who may call",
    "log_level": "Logs and telemetry",
}


def title_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# the tables that derive from the code


def default_of(row: Row) -> str:
    if row.name == "app_root":
        return "the current folder"
    if row.default is None or row.default == "":
        return ""
    return f"`{str(row.default).lower() if row.kind is bool else row.default}`"


def settings_table() -> str:
    lines: list[str] = []
    for row in ROWS:
        if row.name in GROUPS:
            lines += ["", f"### {GROUPS[row.name]}", "", "| variable | flag | default | meaning |", "|---|---|---|---|"]
        flag = f"`{row.flag}`" if row.flag else ""
        choices = f" One of {', '.join(row.choices)}." if row.choices else ""
        lines.append(f"| `{row.env}` | {flag} | {default_of(row)} | {row.help}{choices} |")
    return "\n".join([*lines, "", ""])


def improvements_table() -> str:
    lines = ["", "| improvement | cases |", "|---|---|"]
    for one in IMPROVEMENTS:
        shown = sorted(one.cases)
        more = " and more" if len(shown) > 3 else ""
        cases = ", ".join(f"`{case}`" for case in shown[:3])
        lines.append(f"| **{one.name}**: {one.sentence} | {cases}{more} |")
    return "\n".join([*lines, "", ""])


TABLES = {
    "settings": ("docs/settings.md", settings_table),
    "improvements": ("docs/compatibility.md", improvements_table),
}


def with_table(name: str) -> tuple[Path, str]:
    """The page with its table as it should be."""
    path, table = ROOT / TABLES[name][0], TABLES[name][1]
    pattern = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    text, count = pattern.subn(lambda match: match[1] + table() + match[2], path.read_text())
    assert count == 1, f"{path} has no place for the table {name}"
    return path, text


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_code(name: str) -> None:
    path, text = with_table(name)

    assert path.read_text() == text, "run: python -m tests.test_docs"


def test_every_setting_is_in_the_page_and_in_help_where_it_has_a_flag() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    text = " ".join(parser().format_help().split())

    assert [row.env for row in ROWS if f"| `{row.env}` |" not in page] == []
    assert [row.flag for row in ROWS if row.flag and (row.flag not in text or f"[{row.env}]" not in text)] == []


def test_the_layers_in_the_page_are_those_that_are_enforced() -> None:
    page = (ROOT / "docs/architecture.md").read_text().partition("## Who may import whom")[2]
    shown = {
        part: set(re.findall(r"`(\w+)`", allowed))
        for parts, allowed in re.findall(r"^\| (`.+?) \| (.+) \|$", page, re.MULTILINE)
        for part in re.findall(r"`(\w+)`", parts)
        if part != "cli"
    }

    assert shown == {part: OURS[part] for part in shown}
    assert set(OURS) - set(shown) <= {"cli", "accelerators", "deploy", "__init__", "__main__"}


def test_the_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", "".join(page.read_text() for page in MINE))

    assert len(named) > 10
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()] == []


# snippets


@pytest.mark.parametrize("page", MINE, ids=title_of)
def test_snippets_do_what_they_show(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with Shell(tmp_path) as shell:
        for block in blocks(page):
            if not block.reason:
                shell.run(block)

        assert shell.served, "the last score.py was never started"


@pytest.mark.parametrize("page", [*MINE, *READMES], ids=title_of)
def test_every_fence_is_one_that_is_checked(page: Path) -> None:
    fences = page.read_text().count("\n```")

    assert fences == 2 * len(blocks(page))
    assert {block.language for block in blocks(page)} <= LANGUAGES
    for block in blocks(page):
        if block.language == "json":
            assert documents(block.text)
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)


def test_few_snippets_are_not_run() -> None:
    assert sum(1 for page in [*MINE, *READMES] for block in blocks(page) if block.reason) <= 6


def test_paths_in_the_text_exist() -> None:
    """`server/wire.py` is one of the package's, `tests/serving.py` one of the repository's."""
    places = (ROOT, ROOT / "scoring_runtime")
    named = {path for page in MINE for path in re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|json|md))`", page.read_text())}

    assert len(named) > 10
    assert [path for path in sorted(named) if not any((place / path).exists() for place in places)] == []


def test_commands_in_the_readme_name_what_exists() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    extras = set(re.findall(r"'?\.\[([\w,-]+)\]'?", text))
    project = (ROOT / "pyproject.toml").read_text()

    assert extras == {"test,pandas,fast-json"}
    assert all(f"\n{extra} = [" in project for extra in ["test", "pandas", "fast-json"])
    assert (ROOT / "constraints.txt").is_file()
    assert (ROOT / ".ci/run").is_file()


# links


@pytest.mark.parametrize("page", [*MINE, *READMES], ids=title_of)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    paths = [target for target in targets if "://" not in target]

    assert [path for path in paths if not (page.parent / path).exists() and Path(path).name not in ELSEWHERE] == []


@pytest.mark.parametrize("page", [page for page in MINE if page.parent.name == "docs"], ids=title_of)
def test_page_is_reached_from_the_readme(page: Path) -> None:
    assert f"docs/{page.name}" in (ROOT / "README.md").read_text()


# troubleshooting: each message is provoked

TROUBLES = (ROOT / "docs/troubleshooting.md").read_text()
RUN = "def run(raw_data):\n    return 1\n"
GOOD = "def init():\n    pass\n" + RUN
BOTH = """
from azureml.contrib.services.aml_request import rawhttp
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
def init(): pass
@rawhttp
@input_schema("x", StandardPythonParameterType(1))
def run(x): pass
"""


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        (None, {}, "No such file or directory: the scoring script"),
        ("def init(:\n", {}, "SyntaxError: invalid syntax"),
        ("import nothing_of_that_name\n" + GOOD, {}, "ModuleNotFoundError: No module named"),
        ("1 / 0\n" + GOOD, {}, "Importing the script must not raise or exit."),
        (RUN, {}, "does not have a init() function defined"),
        (
            "def init(): pass\ndef run(*data): pass\n",
            {},
            "run() cannot accept positional-only arguments, *args, or **kwargs",
        ),
        ("def init(): pass\ndef run(): pass\n", {}, "run() needs to accept an argument for input data"),
        (BOTH, {}, "run() cannot be decorated with both @rawhttp and @input_schema"),
        ("def init():\n    raise OSError('no model')\n" + RUN, {}, "User's init function failed"),
        (GOOD, {"WORKER_COUNT": "many"}, "expected a whole number from 1 to 512, got 'many'"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_boot_error_is_in_the_page(text: str | None, environ: dict[str, str], message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "score.py").write_text(text)

    code, said = start(tmp_path, environ)

    assert code == 3
    assert message in said
    assert f"`{message}" in TROUBLES


def test_missing_main_is_in_the_page(tmp_path: Path) -> None:
    message = "No score script found. Expected score script main.py."
    (tmp_path / "config.json").write_text("{}")

    server = Server(Path("--config_file=config.json"), folder=tmp_path)
    try:
        assert server.process.wait(20) == 3
    finally:
        server.end()

    assert message in server.out() + server.err()
    assert f"`{message}`" in TROUBLES


def test_broken_config_file_is_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(GOOD)
    (tmp_path / "config.json").write_text("{")

    code, said = start(tmp_path, {})

    assert (code, "expected a JSON file" in said) == (3, True)
    assert "`expected a JSON file`" in TROUBLES


def test_taken_port_is_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(GOOD)
    with socket.socket() as owner:
        owner.bind(("0.0.0.0", 0))
        owner.listen()
        code, said = start(tmp_path, {}, port=owner.getsockname()[1])

    assert (code, "Address already in use" in said) == (3, True)
    assert "`Address already in use`" in TROUBLES


def test_wrong_flag_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(GOOD)

    assert start(tmp_path, {}, port=0)[0] == 1


def start(folder: Path, environ: dict[str, str], port: int | None = None) -> tuple[int, str]:
    """Exit code and output of a server that cannot start."""
    server = Server(folder / "score.py", "--port", str(free_port() if port is None else port), folder=folder, **environ)
    try:
        return server.process.wait(20), server.out() + server.err()
    finally:
        server.end()


def test_messages_of_running_servers_are_in_the_page() -> None:
    """They are provoked in tests/server/test_promises.py; here only their wording is compared."""
    source = "".join(path.read_text() for path in sorted((ROOT / "scoring_runtime").rglob("*.py")))
    messages = ("every run() is past its timeout", "The service is overloaded: no slot became free", "Thread Budget")
    messages += ("requests are waiting", "Perhaps out of memory?", "Scoring timeout after", "the worker is replaced")
    messages += ("WORKER TIMEOUT",)

    assert [text for text in messages if text not in source or text not in TROUBLES] == []


def test_statuses_are_in_the_page(tmp_path: Path) -> None:
    with serving(GOOD, tmp_path, SCORING_MAX_BODY_BYTES="10") as server:
        seen = {
            server.post(1).status_code,
            server.client.post("/score", content=b"\xff").status_code,
            server.client.get("/nowhere").status_code,
            server.client.put("/score").status_code,
            server.post("x" * 20).status_code,
            server.client.get("/", headers={"x-request-id": "x" * 101}).status_code,
            Unauthorized.status,  # tests/server/test_auth.py
            Misdirected.status,
        }

    assert seen == {200, 400, 401, 404, 405, 413, 421, 431}
    assert [status for status in sorted(seen - {200}) if f"\n| {status} |" not in TROUBLES] == []


def test_health_paths_are_in_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs/settings.md").read_text()
    with serving(GOOD, tmp_path) as server:
        answers = {
            path: server.client.get(path) for path in ("/", "/livez", "/readyz", "/swagger.json", "/metrics", "/info")
        }

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert [path for path in answers if f"| `{path}` |" not in page] == []
    assert [path for path in ("/", "/livez", "/readyz") if f"`{answers[path].text}`" not in page] == []
    assert "\nscoring_utilization " in answers["/metrics"].text


def test_gunicorn_arguments_count_or_are_warned_about(tmp_path: Path) -> None:
    with serving(GOOD, tmp_path, GUNICORN_CMD_ARGS="--workers=2 --threads=4 --nonsense") as server:
        until(lambda: len(server.workers()) == 2)

        until(lambda: "GUNICORN_CMD_ARGS: threads has no effect here" in server.out() + server.err())
        until(lambda: "GUNICORN_CMD_ARGS: ignored --nonsense" in server.out() + server.err())


def test_help_is_no_failure() -> None:
    done = subprocess.run([sys.executable, "-m", "scoring_runtime", "--help"], cwd=ROOT, capture_output=True)

    assert done.returncode == 0


if __name__ == "__main__":
    for table in TABLES:
        written, content = with_table(table)
        written.write_text(content)
        print(f"Wrote {written.relative_to(ROOT)}")
