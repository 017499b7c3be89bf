"""`scoring deploy` and `scoring service`, as a person at a shell uses them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scoring_runtime.deploy import Model, Webservice, Workspace
from scoring_runtime.supervisor.files import read_state
from tests.deploy.local_services import BROKEN, VERSIONED, script, workspace_at

SCORING = "import sys; from scoring_runtime.cli.main import main; main(sys.argv[1:])"


class Shell:
    """Runs commands in a folder, on a workspace."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        self.folder = folder
        self.workspace = workspace

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "SCORING_WORKSPACE": self.workspace.folder}
        command = [sys.executable, "-c", SCORING, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environ, input=stdin, capture_output=True, text=True, timeout=90
        )

    def ok(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def error(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 2
        return done.stderr


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with workspace_at(tmp_path / "ws") as workspace:
        yield Shell(tmp_path, workspace)


def test_script_is_deployed_called_watched_and_deleted(shell: Shell) -> None:
    script(shell.folder / "hello", VERSIONED.format(version=1))

    done = shell.run("deploy", "hello", "-t", "out.json")
    assert done.returncode == 0, done.stderr
    document = json.loads((shell.folder / "out.json").read_text())
    assert done.stdout == f"Healthy  {document['scoring_uri']}\n"
    assert "s] healthy" in done.stderr

    assert shell.ok("service", "run", "hello", "-d", "{}") == "1\n"
    assert shell.ok("service", "run", "-n", "hello", stdin="{}") == "1\n"
    (shell.folder / "body.json").write_text("{}")
    assert shell.ok("service", "run", "hello", "-d", "@body.json") == "1\n"
    assert shell.ok("service", "list").splitlines() == [
        "NAME   HOST   STATE    REVISION  ADDRESS" + " " * (len(document["scoring_uri"]) - 7) + "  MODELS",
        f"hello  local  Healthy  1         {document['scoring_uri']}",
    ]
    assert "ready for serving traffic" in shell.ok("service", "get-logs", "hello", "--lines", "50")
    assert "limits: no limits" in shell.ok("service", "show", "hello")

    script(shell.folder / "hello", VERSIONED.format(version=2))
    assert "revision 2" in shell.ok("service", "reload", "hello")
    assert shell.ok("service", "run", "hello", "-d", "{}") == "2\n"
    assert "revision 3" in shell.ok("service", "rollback", "hello")
    assert shell.ok("service", "run", "hello", "-d", "{}") == "1\n"
    assert "Healthy" in shell.ok("service", "wait", "hello")
    assert shell.ok("service", "delete", "hello", "--dry-run") == "Would delete hello (local, Healthy).\n"
    assert shell.ok("service", "delete", "hello") == "Deleted hello.\n"
    assert shell.json("service", "list") == []


def test_files_of_the_old_tool_are_taken(shell: Shell) -> None:
    (shell.folder / "factor.txt").write_text("2")
    Model.register(shell.workspace, str(shell.folder / "factor.txt"), "factor")
    script(shell.folder / "src", VERSIONED.format(version=1))
    environment = {"name": "plain", "environmentVariables": {"GREETING": "hi"}, "spark": {}}
    (shell.folder / "ic.json").write_text(
        json.dumps({"entryScript": "score.py", "sourceDirectory": "src", "environment": environment})
    )
    (shell.folder / "dc.json").write_text(json.dumps({"computeType": "local", "prot": 5}))

    done = shell.run(
        "deploy", "-n", "demo", "-m", "factor:1", "--ic", "ic.json", "--dc", "dc.json", "--auth", "key",
        "--tag", "team=a", "--property", "kind=x", "-d", "words", "--env", "WORKER_COUNT=2", "-g", "group",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "dc.json: prot is not a key of local, and has no effect. Did you mean 'port'?" in done.stderr
    assert "-g is not needed here" in done.stderr
    service = Webservice(shell.workspace, "demo")
    assert (service.tags, service.properties, service.description) == ({"team": "a"}, {"kind": "x"}, "words")
    assert {name: service.service.environ[name] for name in ("GREETING", "WORKER_COUNT")} == {
        "GREETING": "hi",
        "WORKER_COUNT": "2",
    }
    assert service.service.models == ("factor:1",)
    keys = shell.json("service", "keys", "demo")
    assert shell.ok("service", "get-keys", "demo").splitlines() == [f"{name}: {key}" for name, key in keys.items()]
    shell.ok("service", "regen-key", "demo", "-k", "Primary", "-s", "a-new-primary-key")
    assert shell.json("service", "keys", "demo") == {**keys, "primaryKey": "a-new-primary-key"}


def test_dry_run_does_nothing_and_says_everything(shell: Shell) -> None:
    script(shell.folder / "hello", VERSIONED.format(version=1))

    text = shell.ok("deploy", "hello", "--dry-run", "--port", "6789")

    app = shell.workspace.path("services", "hello", "app", "1")
    assert text.splitlines()[:3] == [
        f"1. write 1 files to {app}",
        f"2. use {sys.executable}",
        "3. start the server on 127.0.0.1:6789, wait until it is ready, then end the one before it",
    ]
    assert "hello/score.py" in text
    assert shell.json("deploy", "hello", "--dry-run")["service"] == "hello"
    assert not os.path.exists(shell.workspace.path("services", "hello"))


def test_update_by_flags(shell: Shell) -> None:
    script(shell.folder / "hello", VERSIONED.format(version=1))
    shell.ok("deploy", "hello")
    script(shell.folder / "next", VERSIONED.format(version=2))
    (shell.folder / "ic.json").write_text(json.dumps({"entryScript": "score.py", "sourceDirectory": "next"}))

    assert "write 1 files" in shell.ok("service", "update", "hello", "--ic", "ic.json", "--dry-run")
    assert shell.json("service", "update", "hello", "--ic", "ic.json")["revision"] == 2
    assert shell.ok("service", "run", "hello", "-d", "{}") == "2\n"
    said = shell.ok("service", "update", "hello", "--tag", "a=b", "--dry-run")
    assert said == "1. change tags, properties and description of revision 2; nothing starts\n"
    assert "update: expected something to change" in shell.error("service", "update", "hello")


def test_failure_ends_with_the_script_s_own_words_and_code_2(shell: Shell) -> None:
    script(shell.folder / "hello", BROKEN)

    said = shell.error("deploy", "hello")

    assert "ServiceFailed: hello: ScriptInitError: init() of " in said
    assert "ValueError: no model today" in said
    listed = shell.run("service", "list")
    assert "Failed" in listed.stdout
    assert "hello: ScriptInitError" in listed.stderr


def test_no_wait_returns_at_once(shell: Shell) -> None:
    script(shell.folder / "slow", "import time\ndef init(): time.sleep(20)\ndef run(d): return 1\n")

    assert shell.json("deploy", "slow", "--no-wait")["state"] == "Transitioning"
    assert "still Transitioning after 0 s" in shell.error("service", "wait", "slow", "--timeout", "0.1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("deploy",), "name: expected a name for the service, got nothing. Give it: -n NAME"),
        (("deploy", "x.py", "--ic", "y"), "scoring deploy: expected one of SCRIPT, --ic, -f and --image"),
        (("deploy", "empty"), "SCRIPT: expected a folder with score.py or main.py, got 'empty'"),
        (("deploy", "-n", "demo"), "NoScript: Without an inference config: expected exactly one model"),
        (("deploy", "-n", "demo", "--dc", "none.json"), "none.json: expected a file, got nothing"),
        (("service", "show", "none"), "No service 'none' in "),
        (("service", "show"), "name: expected the name of a service, got nothing"),
        (("service", "list", "--bad"), "unrecognized arguments: --bad"),
    ],
)
def test_mistakes_are_named(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    (shell.folder / "empty").mkdir()

    assert message in shell.error(*arguments)


def test_flag_that_the_host_does_not_have_is_refused(shell: Shell) -> None:
    script(shell.folder / "hello", VERSIONED.format(version=1))
    (shell.folder / "dc.json").write_text(json.dumps({"computeType": "aks"}))

    said = shell.error("deploy", "hello", "--dc", "dc.json", "--port", "5")

    assert "port: expected nothing, as a service on aks has no such thing, got 5" in said


def test_engine_makes_it_a_container(shell: Shell) -> None:
    script(shell.folder / "hello", VERSIONED.format(version=1))
    (shell.folder / "dc.json").write_text(json.dumps({"computeType": "local", "authEnabled": True, "port": 8081}))

    plan = shell.json("deploy", "hello", "--dc", "dc.json", "--engine", "docker", "--cc", "1", "--dry-run")

    assert plan["steps"][0] == "Build the image hello:1 from the script and its models."
    container = json.loads(plan["documents"]["container.json"])
    assert container["Image"] == "localhost/scoring/hello:1"
    assert container["HostConfig"]["PortBindings"] == {"5001/tcp": [{"HostPort": "8081", "HostIp": "127.0.0.1"}]}
    assert "SCORING_AUTH=key" in container["Env"]
    (shell.folder / "dc.json").write_text(json.dumps({"computeType": "local", "tokenAuthEnabled": True}))
    said = shell.error("deploy", "hello", "--dc", "dc.json", "--engine", "docker")
    assert "token_auth_enabled: expected false with --engine, got True. Set auth_enabled (authEnabled) for keys" in said
    (shell.folder / "dc.json").write_text(json.dumps({"computeType": "aks"}))
    said = shell.error("deploy", "hello", "--dc", "dc.json", "--engine", "docker")
    assert "--engine: expected none for a service on aks, got 'docker'" in said


def test_files_for_other_tools_are_written_whole_and_for_nobody_else(shell: Shell) -> None:
    script(shell.folder / "hello", VERSIONED.format(version=1))
    first, second = "first-key-of-mine", "other-key-of-mine"
    config = {"authEnabled": True, "keys": {"primaryKey": first, "secondaryKey": second}}
    (shell.folder / "aks.json").write_text(json.dumps({"computeType": "aks", **config}))
    (shell.folder / "aci.json").write_text(json.dumps({"computeType": "aci", **config}))

    aks = shell.json("deploy", "hello", "--dc", "aks.json", "--files", "on/aks")["files"]
    aci = shell.ok("deploy", "hello", "--dc", "aci.json", "--files", "on/aci").splitlines()

    assert aci == ["on/aci/container-group.yaml", "on/aci/template.json"]
    objects = [yaml.safe_load((shell.folder / path).read_text()) for path in aks]
    assert {"Deployment", "Secret", "Service"} <= {one["kind"] for one in objects}
    keys = next(one["data"] for one in objects if one["kind"] == "Secret" and "primaryKey" in one["data"])
    assert {name: base64.b64decode(value).decode() for name, value in keys.items()} == {
        "primaryKey": first,
        "secondaryKey": second,
    }
    assert base64.b64encode(first.encode()).decode() in (shell.folder / aci[0]).read_text()
    assert {(shell.folder / path).stat().st_mode & 0o777 for path in (*aks, *aci)} == {0o600}
    assert shell.json("service", "list") == []
    said = shell.error("deploy", "hello", "--files", "on/local")
    assert "--files: expected a service whose host takes files: aci, aks or iot, got 'local'" in said


def test_v2_file_is_deployed_with_its_endpoint(shell: Shell) -> None:
    script(shell.folder / "src", "import os\ndef init(): pass\ndef run(d): return os.environ['GREETING']\n")
    (shell.folder / "blue.yml").write_text(
        "name: blue\nendpoint_name: shop\ninstance_type: Standard_DS3_v2\ninstance_count: 1\n"
        "code_configuration: {code: ./src, scoring_script: score.py}\nenvironment_variables: {GREETING: hi}\n"
    )
    (shell.folder / "shop.yml").write_text("name: shop\nauth_mode: key\ntags: {team: a}\n")

    done = shell.run("deploy", "-f", "blue.yml", "--endpoint", "shop.yml")

    assert done.returncode == 0, done.stderr
    assert "blue.yml: without effect here: instance_type." in done.stderr
    assert shell.ok("service", "run", "shop-blue", "-d", "{}") == '"hi"\n'
    assert shell.json("service", "show", "shop-blue")["auth"] == "key"


def test_names_are_made_of_folders(shell: Shell) -> None:
    home = shell.folder / "3 Small_Models"
    script(home, VERSIONED.format(version=1))

    assert shell.json("deploy", str(home / "score.py"), "--dry-run")["service"] == "service-3-small-models"


def test_service_survives_the_shell_that_started_it(shell: Shell) -> None:
    script(shell.folder / "hello", VERSIONED.format(version=1))
    code = f"import os; os.setsid(); {SCORING}"
    command = [sys.executable, "-c", code, "deploy", "hello", "-w", shell.workspace.folder]
    with subprocess.Popen(command, cwd=shell.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        started.wait(60)
    try:
        os.killpg(started.pid, 9)
    except ProcessLookupError:
        pass

    supervisor = read_state(shell.workspace.path("services", "hello", "run"))["pid"]
    assert Path(f"/proc/{supervisor}/stat").read_text().split()[3] != str(started.pid)
    assert shell.ok("service", "run", "hello", "-d", "{}") == "1\n"
