"""The IoT Edge host: the az commands that it runs, in a real process, and what it makes of the answers."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy.targets.base import Plan, Status
from scoring_runtime.deploy.targets.iot_edge.edge import Edge
from scoring_runtime.deploy.targets.iot_edge.reported import status_of
from scoring_runtime.deploy.targets.iot_edge.target import IotEdgeTarget
from scoring_runtime.errors import TargetError
from tests.deploy.targets.services import KEYS, iot

AZ = f"""#!{sys.executable}
import json, os, shutil, sys
folder = os.path.dirname(os.path.abspath(__file__))
arguments = sys.argv[1:]
with open(os.path.join(folder, "calls"), "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if "--content" in arguments:
    path = arguments[arguments.index("--content") + 1]
    with open(os.path.join(folder, "mode"), "w") as mode:
        mode.write(oct(os.stat(path).st_mode))
    shutil.copy(path, os.path.join(folder, "content"))
answer = os.path.join(folder, "answer")
if os.path.exists(answer):
    code, text = json.load(open(answer))
    print(text, file=sys.stderr if code else sys.stdout)
    sys.exit(code)
"""
EDGE = Edge(hub="my-hub")
WAITING = "The device has not taken the manifest yet; is it on, and connected?"


class Az:
    """An az on PATH that keeps what it was called with, and answers what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "az"
        path.write_text(AZ)
        path.chmod(0o755)

    def answers(self, value: Any, code: int = 0) -> None:
        (self.folder / "answer").write_text(json.dumps([code, value if code else json.dumps(value)]))

    @property
    def calls(self) -> list[str]:
        return [" ".join(json.loads(line)) for line in (self.folder / "calls").read_text().splitlines()]

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "content").read_text())["modulesContent"]
        return found


@pytest.fixture
def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Az:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Az(tmp_path)


def quiet(step: str) -> None:
    pass


def test_a_plan_shows_the_manifest_and_the_command_that_sets_it() -> None:
    plan = IotEdgeTarget(EDGE).plan(iot(secrets=KEYS))

    assert plan == Plan(
        (
            "Write deployment.json: a whole manifest with the module iris.",
            "Run: az iot edge set-modules --hub-name my-hub --device-id camera-1 --content deployment.json",
        ),
        {"deployment.json": plan.documents["deployment.json"]},
        {"deployment.json": plan.files["deployment.json"]},
    )
    assert "first-key" not in plan.documents["deployment.json"] + repr(plan)
    assert (
        plan.files["deployment.json"].replace(KEYS.primary_key, "***").replace(KEYS.secondary_key, "***")
        == (plan.documents["deployment.json"])
    )


def test_apply_sets_the_manifest_from_a_file_that_only_we_read(az: Az) -> None:
    IotEdgeTarget(EDGE).apply(iot(secrets=KEYS), quiet)

    (call,) = az.calls
    assert call.startswith("iot edge set-modules --hub-name my-hub --device-id camera-1 --content /")
    assert stat.S_IMODE(int((az.folder / "mode").read_text(), 8)) == 0o600
    assert az.content["$edgeAgent"]["properties.desired"]["modules"]["iris"]["env"]["SCORING_PRIMARY_KEY"] == {
        "value": KEYS.primary_key
    }


@pytest.mark.parametrize(
    ("platforms", "fits"), [(["linux/amd64"], False), (["linux/amd64", "linux/arm64/v8"], True), ([], True)]
)
def test_an_image_for_another_processor_is_not_sent_to_a_device(az: Az, platforms: list[str], fits: bool) -> None:
    target = IotEdgeTarget(replace(EDGE, platform="arm64"), platforms=lambda image: platforms)
    if fits:
        target.apply(iot(), quiet)
        assert len(az.calls) == 1
        return

    with pytest.raises(
        TargetError, match=r"is linux/arm64, and .* is for linux/amd64\. Build one .*--platform linux/arm64"
    ):
        target.apply(iot(), quiet)


def test_a_layer_takes_the_place_of_the_one_before_it(az: Az) -> None:
    az.answers([{"id": "iris-2"}, {"id": "other-1"}, {"id": "iris-large"}])

    IotEdgeTarget(replace(EDGE, layered=True)).apply(iot(), quiet)

    listed, created, deleted = az.calls
    assert listed == "iot edge deployment list --hub-name my-hub --top 100 --output json"
    assert created.startswith("iot edge deployment create --hub-name my-hub --layered --deployment-id iris-3")
    assert "--priority 10 --target-condition deviceId='camera-1' --content" in created
    assert deleted == "iot edge deployment delete --hub-name my-hub --deployment-id iris-2 --output json"


def test_a_layer_that_is_there_is_left_alone(az: Az) -> None:
    az.answers([{"id": "iris-3"}])

    IotEdgeTarget(replace(EDGE, layered=True)).apply(iot(), quiet)

    assert len(az.calls) == 1


def test_deleting_leaves_the_runtime_or_the_other_layers(az: Az) -> None:
    IotEdgeTarget(EDGE).delete(iot(), quiet)

    assert az.content["$edgeAgent"]["properties.desired"]["modules"] == {}
    assert sorted(az.content) == ["$edgeAgent", "$edgeHub"]
    az.answers([{"id": "iris-3"}, {"id": "other-1"}])
    IotEdgeTarget(replace(EDGE, layered=True)).delete(iot(), quiet)
    assert [call.split()[3] for call in az.calls] == ["--hub-name", "list", "delete"]


def test_logs_come_from_the_agent(az: Az) -> None:
    az.answers({"status": 200, "payload": [{"id": "iris", "payload": "ready\n"}]})

    assert IotEdgeTarget(EDGE).logs(iot(), 50) == "ready\n"
    assert '"filter": {"tail": 50}' in az.calls[0]
    az.answers({"status": 404})
    with pytest.raises(TargetError, match=r'agent answered \{"status": 404\}, expected logs'):
        IotEdgeTarget(EDGE).logs(iot(), 50)


def test_what_az_says_is_the_error(az: Az) -> None:
    az.answers("The hub does not exist.", code=3)

    with pytest.raises(TargetError, match=r"(?s)az iot hub module-twin .* ended with 3: The hub does not exist\."):
        IotEdgeTarget(EDGE).status(iot())


def test_without_az_the_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(TargetError, match="run this where it is: az iot edge set-modules"):
        IotEdgeTarget(EDGE).apply(iot(), quiet)


def test_the_hub_is_needed() -> None:
    with pytest.raises(TargetError, match="expected the name of the IoT hub; list them with: az iot hub list"):
        IotEdgeTarget(Edge()).apply(iot(), quiet)


def test_a_manifest_that_would_not_work_is_refused() -> None:
    with pytest.raises(TargetError, match="the module nobody is not in the manifest"):
        IotEdgeTarget(EDGE).plan(iot(routes={"up": "FROM /messages/modules/nobody/outputs/* INTO $upstream"}))


def twin(version: int = 1, code: int = 200, **module: Any) -> dict[str, Any]:
    reported = {
        "lastDesiredVersion": version,
        "lastDesiredStatus": {"code": code, "description": "no such thing"},
        "modules": {"iris": module},
    }
    return {"properties": {"desired": {"$version": 1}, "reported": reported}}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (twin(runtimeStatus="running"), Status("Healthy", None, "http://x", 1)),
        (
            twin(runtimeStatus="backoff", exitCode=137, restartCount=4),
            Status(
                "Unhealthy",
                "The module is in backoff, its last exit code 137 (killed, most often for memory: give the module more "
                "in createOptions), 4 restarts.",
                "http://x",
            ),
        ),
        (
            twin(runtimeStatus="failed", exitCode=3),
            Status("Failed", "The module is in failed, its last exit code 3.", "http://x"),
        ),
        (twin(), Status("Transitioning", None, "http://x")),
        (twin(version=0), Status("Transitioning", WAITING)),
        (twin(code=412), Status("Failed", "its schema version is not the agent's (412): no such thing")),
        (twin(code=499), Status("Failed", "the device refused the manifest (499): no such thing")),
        ({}, Status("Transitioning", WAITING)),
    ],
)
def test_the_agents_report_is_one_of_the_five_states(reported: dict[str, Any], expected: Status) -> None:
    assert status_of(reported, "iris", "http://x") == expected


def test_status_asks_for_the_agents_twin(az: Az) -> None:
    az.answers(twin(runtimeStatus="running"))

    assert IotEdgeTarget(EDGE).status(iot()) == Status("Healthy", None, None, 1)
