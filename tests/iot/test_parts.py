"""The parts of a module: settings of the twin, retries against the server, acknowledgements that wait."""

from __future__ import annotations

import http.server
import logging
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoring_runtime.errors import SettingsError
from scoring_runtime.iot import delivery
from scoring_runtime.iot.bridge import Bridge, headers_of, output_of
from scoring_runtime.iot.main import main
from scoring_runtime.iot.scorer import Answer, Endpoint, Scorer
from scoring_runtime.iot.twin import ModuleSettings, follow, reported
from tests.iot.edge import Broker
from tests.serving import free_port, until

NOW = ModuleSettings(output="mine", concurrency=4)
LEVELS, LETTERS = "DEBUG, INFO, WARNING, ERROR, CRITICAL", "1 to 64 letters, digits, _, . and -"


@pytest.mark.parametrize(
    ("desired", "settings", "rejected"),
    [
        ({}, NOW, []),
        ({"scoring": None}, ModuleSettings(), []),
        ({"scoring": {"output": None}}, ModuleSettings(concurrency=4), []),
        ({"scoring": 5}, NOW, ["scoring: expected an object, got 5"]),
        ({"scoring": {"input": "in", "errorOutput": "bad"}}, ModuleSettings("in", "mine", "bad", 4), []),
        ({"scoring": {"logLevel": "loud"}}, NOW, [f"logLevel: expected one of {LEVELS}, got 'loud'"]),
        ({"scoring": {"output": "a b"}}, NOW, [f"output: expected a name of {LETTERS}, got 'a b'"]),
        ({"scoring": {"speed": 1}}, NOW, ["speed: expected one of input, output, errorOutput, concurrency, logLevel"]),
        ({"scoring": {"concurrency": True}}, NOW, ["concurrency: expected a whole number from 1 to 64, got True"]),
    ],
)  # fmt: skip
def test_the_twin_is_followed_where_it_can_be(
    desired: dict[str, Any], settings: ModuleSettings, rejected: list[str]
) -> None:
    assert follow(NOW, desired) == (settings, rejected)


def test_what_was_refused_is_reported() -> None:
    shown = reported(ModuleSettings(), ["a", "b"], 7)["scoring"]

    assert (shown["desiredVersion"], shown["rejected"], shown["errorOutput"]) == (7, "a; b", "amlError")


def test_an_error_is_cut_and_goes_to_its_output() -> None:
    output, body, properties = output_of(NOW, Answer(500, b"x" * 9000))

    assert (output, len(body) < 5000, properties) == ("amlError", True, {"scoring-status": "500"})


@pytest.mark.parametrize(
    ("name", "sent"), [("id-1", "id-1"), ("a\r\nb", None), ("ü", None), ("x" * 101, None), (None, None)]
)
def test_an_identity_that_is_no_header_stays_here(name: str | None, sent: str | None) -> None:
    message = SimpleNamespace(correlation_id=None, message_id=name, content_type="text/plain")

    assert headers_of(message).get("x-ms-client-request-id") == sent


@contextmanager
def server(
    *answers: tuple[int, dict[str, str]], certificate: Path | None = None
) -> Iterator[tuple[Endpoint, list[Any]]]:
    """Answers with these statuses, one after the other; over TLS with a certificate, whose key is beside it."""
    left, seen = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((body, self.headers["Authorization"]))
            status, headers = left.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "1"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"1")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_name("key.pem"))
            running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Endpoint(running.server_address[1], 10, str(certificate or "")), seen
        finally:
            running.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("statuses", "status"), [([503, 503, 200], 200), ([502, 200], 200), ([502, 502, 502], 502), ([500], 500)]
)
def test_a_message_waits_for_a_server_that_is_full_or_loses_workers(statuses: list[int], status: int) -> None:
    with server(*((one, {"Retry-After": "0"}) for one in statuses)) as (endpoint, seen):
        scorer = Scorer(endpoint, threading.Event())

        answer = scorer.score(b"body", {})
        scorer.close()

    assert answer is not None
    assert (answer.status, [body for body, _ in seen]) == (status, [b"body"] * len(statuses))


def test_a_message_waits_for_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    stopping = threading.Event()
    results: list[Any] = []
    scorer = Scorer(Endpoint(free_port(), 10), stopping)
    thread = threading.Thread(target=lambda: results.append(scorer.score(b"", {})))

    thread.start()
    until(lambda: "The server does not answer" in caplog.text)
    stopping.set()
    thread.join(10)

    assert results == [None]


def test_the_key_is_read_again_when_it_is_rotated(tmp_path: Path) -> None:
    environ = {"SCORING_AUTH": "key", "SCORING_KEYS_DIR": str(tmp_path)}
    (tmp_path / "primaryKey").write_text("first\n")
    with server((200, {}), (200, {})) as (endpoint, seen):
        scorer = Scorer(Endpoint.of(environ, endpoint.port, 1000), threading.Event())
        scorer.score(b"", {})
        (tmp_path / "primaryKey").write_text("second\n")
        scorer.score(b"", {})
        scorer.close()

    assert [header for _, header in seen] == ["Bearer first", "Bearer second"]


def test_a_server_with_tls_is_known_by_its_own_certificate(tmp_path: Path) -> None:
    Broker(tmp_path)  # makes one, for an address that the server is not called by
    with server((200, {}), certificate=tmp_path / "cert.pem") as (endpoint, _):
        scorer = Scorer(endpoint, threading.Event())

        answer = scorer.score(b"body", {})
        scorer.close()

    assert answer is not None
    assert answer.status == 200


def test_without_auth_no_key_is_sent() -> None:
    endpoint = Endpoint.of({"SCORING_PRIMARY_KEY": "secret"}, 5001, 0)

    assert (endpoint.authorization(), endpoint.timeout_seconds) == ({}, 86_400)


# acknowledgements


class Base:
    """paho's client, as far as it matters: it handles a message, then acknowledges it."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.handled: list[Any] = []

    def _handle_on_message(self, message: Any) -> None:
        self.handled.append(message.payload)

    def _send_puback(self, mid: int) -> int:
        self.acknowledged.append(mid)
        return 0

    def arrive(self, mid: int, payload: bytes, topic: str = "devices/d/modules/m/inputs/i", **more: Any) -> Any:
        message = SimpleNamespace(**{"mid": mid, "payload": payload, "topic": topic, "qos": 1, "dup": 0, **more})
        self._handle_on_message(message)
        self._send_puback(mid)
        return SimpleNamespace(data=message.payload)


def test_a_message_is_acknowledged_when_it_is_settled() -> None:
    client = delivery.holding(Base)()
    message = client.arrive(1, b"one")
    before = list(client.acknowledged)

    delivery.settle(message)
    delivery.settle(message)

    assert (before, client.acknowledged) == ([], [1])


def test_other_messages_are_acknowledged_at_once() -> None:
    client = delivery.holding(Base)()

    delivery.settle(client.arrive(1, b"twin", topic="$iothub/twin/res/200"))

    assert client.acknowledged == [1]


def test_a_message_that_comes_again_while_it_is_scored_is_not_scored_twice() -> None:
    client = delivery.holding(Base)()
    client.arrive(1, b"one")

    client.arrive(1, b"one", dup=1)

    assert (client.handled, client.acknowledged) == ([b"one"], [])


def test_a_number_that_is_used_again_belongs_to_the_new_message() -> None:
    client = delivery.holding(Base)()
    old = client.arrive(1, b"one")
    new = client.arrive(1, b"two")

    delivery.settle(old)
    before = list(client.acknowledged)
    delivery.settle(new)

    assert (client.handled, before, client.acknowledged) == ([b"one", b"two"], [], [1])


def test_a_client_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.iot.device.common import mqtt_transport

    monkeypatch.setattr(mqtt_transport, "mqtt", SimpleNamespace(Client=object))

    with pytest.raises(SettingsError, match=r"expected paho-mqtt 1\.6"):
        delivery.install()


def test_installing_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.iot.device.common import mqtt_transport

    monkeypatch.setattr(mqtt_transport, "mqtt", mqtt_transport.mqtt)
    delivery.install()
    installed = mqtt_transport.mqtt

    delivery.install()

    assert mqtt_transport.mqtt is installed
    assert mqtt_transport.mqtt.Client.holds


# the command


def test_outside_a_module_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("IOTEDGE_WORKLOADURI", raising=False)

    assert main([]) == 3
    assert "IOTEDGE_WORKLOADURI: expected the environment of an IoT Edge module" in caplog.text


def test_without_the_extra_the_fix_is_a_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EdgeHubConnectionString", "HostName=h")
    monkeypatch.setitem(sys.modules, "azure.iot.device.common", None)

    assert main([]) == 3
    assert "Run: pip install 'scoring-runtime[iot]'" in caplog.text


class Hub:
    """The client's interface, for what a broker cannot be made to do on demand."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.reported: list[Any] = []

    def connect(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no hub")

    def get_twin(self) -> dict[str, Any]:
        return {"desired": {"scoring": {"concurrency": 2}, "$version": 3}}

    def patch_twin_reported_properties(self, patch: Any) -> None:
        self.reported.append(patch)

    def shutdown(self) -> None:
        pass


def test_a_hub_that_comes_late_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger().level
    hub = Hub(failures=1)
    bridge = Bridge(hub, bytes, Endpoint(1, 1))

    bridge.start()
    bridge.stop()
    logging.getLogger().setLevel(level)

    assert "Cannot connect to the hub: ConnectionError: no hub. Trying again." in caplog.text
    assert hub.reported[0]["scoring"]["desiredVersion"] == 3
    assert repr(bridge) == "<Bridge 0/2 busy, 0 waiting>"


def test_a_message_of_another_input_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    bridge = Bridge(Hub(), bytes, Endpoint(1, 1))
    client = delivery.holding(Base)()
    message = client.arrive(1, b"one")
    message.input_name = "another"

    bridge.receive(message)

    assert (bridge.waiting.qsize(), client.acknowledged) == (0, [1])
    assert "A message came in at another, which is not amlInput: dropped." in caplog.text
