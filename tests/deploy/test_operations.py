"""One change at a time; whatever is killed, the next call finishes it, undoes it, or says what there is."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import pytest

from scoring_runtime.deploy import LocalWebservice, Model, Webservice, Workspace
from scoring_runtime.deploy.services.service_folder import ServiceFolder, pending_of
from scoring_runtime.deploy.targets import local
from scoring_runtime.deploy.targets.local import LocalHost
from scoring_runtime.errors import (
    ConfigError,
    DeployError,
    ServiceBusy,
    ServiceExists,
    ServiceFailed,
    ServiceNotFound,
    TargetError,
)
from scoring_runtime.supervisor.files import is_held, read_state
from tests.deploy.local_services import BROKEN, VERSIONED, Load, deployed, script, workspace_at
from tests.serving import ROOT, alive, free_port, until

SLOW = "import time\ndef init(): time.sleep(30)\ndef run(raw_data): return 2\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_at(tmp_path / "ws") as one:
        yield one


def deployer(workspace: Workspace, *arguments: str) -> subprocess.Popen[str]:
    code = "import sys; from scoring_runtime.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *arguments, "-w", workspace.folder]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_state(service: Webservice) -> dict[str, Any]:
    return read_state(service.folder.path("run"))


def journal(service: Webservice) -> Any:
    return service.folder.state()["pending"]


def test_second_deployer_is_refused_by_name(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    slow = script(tmp_path / "slow", SLOW)
    with deployer(workspace, "deploy", str(tmp_path / "slow"), "-n", "demo", "--overwrite") as first:
        until(lambda: journal(service))
        try:
            with pytest.raises(ServiceBusy, match=rf"demo: the process with pid {first.pid} is at 'deploy' since 20"):
                service.update([], slow)
            second = deployer(workspace, "service", "reload", "demo")
            assert second.communicate(timeout=60)[1].startswith("ServiceBusy: demo: the process with pid")
            assert second.returncode == 2
        finally:
            first.kill()
    assert service.run("{}") == 1


def test_service_whose_host_has_not_been_told_yet_is_transitioning(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    first = service.service
    LocalHost(workspace, "demo").delete(first, lambda text: None)

    with service.folder.changing("deploy"):
        service.folder.write(replace(first, revision=2))
        service.folder.write_state(1, pending_of(replace(first, revision=2), "deploy"), None)

        assert (service.state, service.error) == ("Transitioning", None)


def test_change_while_another_holds_the_lock_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))

    with service.folder.changing("regen-key"), pytest.raises(ServiceBusy) as raised:
        service.reload()

    assert re.match(rf"demo: the process with pid {os.getpid()} is at 'regen-key' since 20", str(raised.value))


def test_change_waits_for_one_that_only_looks(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    order: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(service.folder.changing("settle"))
        stack.callback(order.append, "looked")
        look = Timer(0.1, stack.pop_all().close)
        look.start()

        with service.folder.changing("update"):
            order.append("update")
            look.join()

    assert order == ["looked", "update"]


def test_deployer_that_comes_second_does_not_overwrite(workspace: Workspace, tmp_path: Path) -> None:
    first = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1), name="other").service
    folder = ServiceFolder(workspace, "demo")
    config = script(tmp_path / "src", VERSIONED.format(version=2))
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        stack.enter_context(folder.changing("deploy"))
        second = pool.submit(Model.deploy, workspace, "demo", [], config)
        folder.write(replace(first, name="demo"))
        folder.write_state(1, None, None)
        stack.pop_all().close()

        with pytest.raises(ServiceExists, match="There is a service 'demo' already"):
            second.result(60)
    assert folder.revisions() == [1]


def test_what_this_process_has_begun_is_waited_for(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    service.update([], script(tmp_path / "slow", SLOW))

    with pytest.raises(ServiceBusy, match=r"this process is at 'update' .* wait_for_deployment\(\)"):
        service.reload()
    with pytest.raises(ServiceFailed, match="still Transitioning after"):
        service.wait_for_deployment(timeout_sec=0.2)
    assert service.state == "Transitioning"


def test_change_whose_process_was_killed_gives_way_to_the_next(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    script(tmp_path / "slow", SLOW)
    with deployer(workspace, "deploy", str(tmp_path / "slow"), "-n", "demo", "--overwrite") as first:
        until(lambda: journal(service))
        first.kill()

    service.update([], script(tmp_path / "next", VERSIONED.format(version=3)), wait=True)

    assert (service.run("{}"), service.error) == (3, None)


def test_change_that_nobody_waited_for_is_where_the_next_one_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    script(
        tmp_path / "next",
        "import os, time\ndef init(): os.environ.get('FAST') or time.sleep(60)\ndef run(d): return 2\n",
    )
    with deployer(workspace, "deploy", str(tmp_path / "next"), "-n", "demo", "--overwrite", "--no-wait") as first:
        assert first.wait(60) == 0

    service.update(environ={"FAST": "1"}, wait=True)

    assert (service.run("{}"), service.error) == (2, None)


def test_change_whose_process_was_killed_before_the_host_knew_is_finished_by_wait(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill -9 between the journal and the host."""
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalHost, "apply", killed)
        with pytest.raises(KeyboardInterrupt):
            service.update([], script(tmp_path / "next", VERSIONED.format(version=2)))
    state = service.folder.state()
    service.folder.write_state(1, {**state["pending"], "by": {**state["pending"]["by"], "started": "1"}}, None)
    assert service.state == "Transitioning"

    service.wait_for_deployment(timeout_sec=60)

    assert service.run("{}") == 2


def test_host_that_refuses_leaves_what_there_was(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    apply = LocalHost.apply

    def refuse(host: LocalHost, new: Any, progress: Any) -> None:
        if new.revision == 2:
            raise TargetError("not today")
        apply(host, new, progress)

    monkeypatch.setattr(LocalHost, "apply", refuse)
    with pytest.raises(TargetError, match="not today"):
        service.update([], script(tmp_path / "next", VERSIONED.format(version=2)))

    assert (service.state, service.run("{}")) == ("Healthy", 1)
    assert service.error == "revision 2 failed, revision 1 goes on serving: TargetError: not today"


def test_killed_supervisor_is_seen_and_reload_brings_the_service_back(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    before = run_state(service)
    port = service.port

    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: not alive(before["current"]["pid"]))

    assert service.state == "Failed"
    assert service.error == (
        "Nothing runs it: its supervisor was killed, or the machine was started anew. "
        "Start it: scoring service reload demo"
    )
    with pytest.raises(ServiceFailed, match="does not answer"):
        service.run("{}")
    service.reload(wait=True)
    assert (service.state, service.port, service.run("{}")) == ("Healthy", port, 1)


def test_after_a_reboot_nothing_is_taken_for_running(workspace: Workspace, tmp_path: Path) -> None:
    """The files are those of another boot: their process numbers mean nothing, even where somebody has them."""
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    run = Path(service.folder.path("run"))
    host = LocalHost(workspace, "demo")
    host.delete(service.service, lambda text: None)
    state = json.loads((run / "state.json").read_text())
    stranger = {"pid": os.getpid(), "started": "5", "boot": "another"}
    (run / "state.json").write_text(json.dumps({**state, **stranger, "current": {**stranger, "revision": 1}}))

    assert service.state == "Failed"
    service.reload(wait=True)
    assert service.run("{}") == 1


def test_killed_server_and_workers_are_replaced_and_callers_go_on(workspace: Workspace, tmp_path: Path) -> None:
    """Those whose answer was being made notice; nobody else does, and the port never closes."""
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    with Load(str(service.scoring_uri)) as load:
        load.more(20)
        server = run_state(service)["current"]["pid"]
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        load.more(20)
        os.kill(server, signal.SIGKILL)
        until(lambda: (run_state(service)["current"] or {}).get("pid", server) != server)
        load.more(20)

    refused = [text for text in load.failures if "ConnectError" in text]
    assert refused == []
    assert len(load.failures) <= 9
    assert service.state == "Healthy"


def test_full_disk_is_an_error_of_the_change_and_the_service_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    """The limit on the size of files stands for a disk that has no room for this one."""
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from scoring_runtime.deploy import Webservice, Workspace\n"
        "Webservice(Workspace(sys.argv[1]), 'demo').reload(wait=True)\n"
    )
    with Load(str(service.scoring_uri)) as load:
        done = subprocess.run(
            [sys.executable, "-c", code, workspace.folder], capture_output=True, text=True, timeout=60
        )
        load.more(20)

    assert done.returncode != 0
    assert "DeployError: demo: File too large" in done.stderr
    assert (load.failures, service.state, service.run("{}")) == ([], "Healthy", 1)
    service.reload(wait=True)
    assert service.run("{}") == 1


def test_service_goes_on_while_its_whole_disk_is_full(tmp_path: Path) -> None:
    """A small file system of its own, filled to the last byte: logs are dropped, changes refused, callers served."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        with workspace_at(disk / "ws") as workspace:
            service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
            with Load(str(service.scoring_uri)) as load:
                fill(disk / "filler")
                with pytest.raises(DeployError, match=r"demo: .*No space left on device\. See: df -h "):
                    service.reload(wait=True)
                load.more(30)
                (disk / "filler").unlink()
                service.reload(wait=True)
            assert (load.failures, service.state, service.run("{}")) == ([], "Healthy", 1)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass


def test_port_of_somebody_else_is_named(workspace: Workspace, tmp_path: Path) -> None:
    first = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    configuration = LocalWebservice.deploy_configuration(port=first.port)

    with pytest.raises(TargetError, match=rf"Cannot listen on 127\.0\.0\.1:{first.port}: Address already in use"):
        Model.deploy(workspace, "other", [], script(tmp_path / "src", VERSIONED.format(version=2)), configuration)

    assert Webservice(workspace, "other").state == "Failed"


def test_deleting_again_does_nothing(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    supervisor = run_state(service)["pid"]

    service.delete()
    service.delete()

    assert not is_held(service.folder.path("run"))
    assert not os.path.exists(service.folder.folder)
    until(lambda: not alive(supervisor))


def test_service_that_is_deleted_while_it_is_read_is_not_found(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    service.delete()

    with pytest.raises(ServiceNotFound):
        service.folder.read(1)


def test_frozen_server_is_asked_once(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    asked: list[int] = []
    monkeypatch.setattr(local, "not_ready", lambda port: str(asked.append(port) or "It is frozen."))

    (listed,) = Webservice.list(workspace)
    document = listed.serialize()

    assert (document["state"], document["error"], len(asked)) == ("Unhealthy", "It is frozen.", 1)


def test_applying_what_runs_starts_nothing(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    before = run_state(service)["current"]

    LocalHost(workspace, "demo").apply(service.service, lambda text: None)

    assert run_state(service)["current"] == before


def test_limits_hold_and_are_said(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1), cpu_cores=1, memory_gb=0.5)

    assert "512 MiB" in service.limits


def test_keys_can_be_replaced_under_load(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1), auth_enabled=True)
    primary, secondary = service.get_keys()
    with Load(str(service.scoring_uri), secondary) as load:
        load.more(10)
        service.regen_key("Primary")
        load.more(10)
        service.regen_key("primary", "a-long-key-of-my-own")
        load.more(10)

    assert load.failures == []
    assert service.get_keys() == ("a-long-key-of-my-own", secondary)
    assert service.run("{}") == 1
    for key in (primary, "nonsense", ""):
        refused = until(lambda key=key: status_with(service, key) == 401)
        assert refused
    assert status_with(service, secondary) == 200
    with pytest.raises(ConfigError, match=r"set_key: expected at least 16 visible ASCII characters, got '\*\*\*'"):
        service.regen_key("Primary", "short")


def status_with(service: Webservice, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(str(service.scoring_uri), content="{}", headers=headers).status_code


def test_keys_of_an_update_come_into_force_with_it(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1), auth_enabled=True)
    before = service.get_keys()
    with Load(str(service.scoring_uri), before[0]) as load:
        load.more(5)
        with pytest.raises(ServiceFailed):
            service.update([], script(tmp_path / "bad", BROKEN), primary_key="a-key-of-what-fails", wait=True)
        load.more(5)
        assert (load.failures, service.get_keys(), service.run("{}")) == ([], before, 1)

    service.update(primary_key="a-key-of-what-works", wait=True)

    assert service.get_keys() == ("a-key-of-what-works", before[1])
    assert service.run("{}") == 1
    assert not os.path.exists(service.folder.path("next.json"))
    for key, status in ((before[0], 401), (before[1], 200), ("a-key-of-what-works", 200)):
        headers = {"Authorization": f"Bearer {key}"}
        assert httpx.post(str(service.scoring_uri), content="{}", headers=headers).status_code == status


def test_update_with_another_port_moves_the_service(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    before, port = service.port, free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(ServiceFailed, match=rf"Cannot listen on 127\.0\.0\.1:{number}: .* Choose another port"):
            service.update(port=number, wait=True)
        assert (service.port, service.run("{}")) == (before, 1)

    service.update(port=port, wait=True)

    assert (service.port, service.run("{}")) == (port, 1)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{before}/")
    os.kill(run_state(service)["current"]["pid"], signal.SIGKILL)
    until(lambda: run_state(service)["restarts"] == 1 and service.state == "Healthy")
    assert (service.port, service.run("{}")) == (port, 1)
    service.reload(wait=True)
    assert service.port == port


def test_tokens_let_callers_in(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1), token_auth_enabled=True)

    token, refresh_after = service.get_token()
    whole = service.get_access_token()

    assert service.run("{}") == 1
    assert (status_with(service, token), status_with(service, "x"), status_with(service, "")) == (200, 401, 401)
    assert time.time() < refresh_after.timestamp() < whole["expiryOn"]
    assert {**whole, "accessToken": "", "refreshAfter": 0, "expiryOn": 0} == {
        "accessToken": "",
        "refreshAfter": 0,
        "expiryOn": 0,
        "tokenType": "Bearer",
    }


def test_broken_copy_of_a_service_is_started_over(workspace: Workspace, tmp_path: Path) -> None:
    """Files that were half written when the disk was full or the machine went are written again."""
    service = deployed(workspace, tmp_path / "src", BROKEN.replace("raise ValueError('no model today')", "pass"))
    app = Path(service.folder.path("app"))
    (app / "2.unfinished").mkdir()
    (app / "2.unfinished" / "half").touch()

    service.reload(wait=True)

    assert sorted(path.name for path in app.iterdir()) == ["1", "2"]
