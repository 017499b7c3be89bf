"""An IoT Edge device's surroundings, real where they can be: mosquitto with TLS as the hub, a workload API, the routes.

The device client is Microsoft's. It insists on port 8883, so every hub gets a loopback address of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import random
import re
import shutil
import socketserver
import ssl
import subprocess
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client

from tests.serving import until

DEVICE, MODULE = "dev1", "scorer"
EVENTS = re.compile(rf"devices/{DEVICE}/modules/([^/]+)/messages/events/(.*)")
ROUTE = re.compile(r'FROM /messages/modules/(\w+)/outputs/(\w+) INTO BrokeredEndpoint\("/modules/(\w+)/inputs/(\w+)"\)')


def need(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"{program} is missing: apt-get install -y --no-install-recommends {program}"
    return found


class Broker:
    """mosquitto, with TLS and a session store; it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.{random.randint(16, 250)}.{random.randint(0, 250)}.{random.randint(1, 250)}"
        subject = ["-subj", f"/CN={self.address}", "-addext", f"subjectAltName=IP:{self.address}"]
        files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
        command = [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
        subprocess.run(command, check=True, capture_output=True)
        (folder / "mosquitto.conf").write_text(
            f"listener 8883 {self.address}\ncertfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n"
            f"allow_anonymous true\nmax_inflight_messages 10\nmax_queued_messages 1000\n"
            f"persistence true\npersistence_location {folder}/\nuser root\nlog_type all\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [need("mosquitto"), "-c", str(self.folder / "mosquitto.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: "running" in self.log())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            (self.folder / "mosquitto.log").unlink(missing_ok=True)

    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def sent_to_module(self) -> int:
        """Messages that the broker has handed to the module since it started."""
        return len(re.findall(rf"Sending PUBLISH to {DEVICE}/{MODULE} .*/inputs/", self.log()))

    def connect(self, name: str, **callbacks: Any) -> Client:
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        client = Client(name, clean_session=False)
        client.tls_set_context(context)
        client.reconnect_delay_set(1, 1)
        for callback, function in callbacks.items():
            setattr(client, callback, function)
        client.connect(self.address, 8883)
        client.loop_start()
        return client


class Workload:
    """The workload API of edgelet, on a unix socket: the trust bundle, and signatures."""

    def __init__(self, path: Path, certificate: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({"certificate": certificate})

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                digest = hmac.new(b"key", base64.b64decode(request["data"]), hashlib.sha256).digest()
                self.answer({"digest": base64.b64encode(digest).decode()})

            def answer(self, value: object) -> None:
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "module"

            def log_message(self, *_: object) -> None:
                pass

        self.server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Hub:
    """What edgeHub does above its broker: routes between modules, and their twins."""

    def __init__(self, broker: Broker, routes: list[str], desired: dict[str, Any]) -> None:
        self.broker = broker
        matched = [ROUTE.fullmatch(route) for route in routes]
        self.routes = [match.groups() for match in matched if match]
        assert len(self.routes) == len(routes)
        self.twin = {"desired": {**desired, "$version": 1}, "reported": {}}
        self.upstream: list[tuple[str, dict[str, str], bytes]] = []  # output, properties, body
        self.lock = threading.Lock()
        self.client = broker.connect("edgeHub", on_connect=self.connected, on_message=self.message)
        until(self.client.is_connected)

    def connected(self, client: Client, *_: object) -> None:
        client.subscribe([(f"devices/{DEVICE}/modules/+/messages/events/#", 1), ("$iothub/twin/GET/#", 1)])
        client.subscribe([("$iothub/twin/PATCH/properties/reported/#", 1)])

    def message(self, client: Client, _: object, message: Any) -> None:
        event = EVENTS.fullmatch(message.topic)
        if event is None:
            return self.about_twin(message)
        properties = dict(urllib.parse.parse_qsl(event[2], keep_blank_values=True))
        output = properties.pop("$.on", "")
        for source, name, sink, entry in self.routes:
            if (source, name) == (event[1], output):
                rest = urllib.parse.urlencode(properties, quote_via=urllib.parse.quote)
                client.publish(f"devices/{DEVICE}/modules/{sink}/inputs/{entry}/{rest}", message.payload, 1)
                break
        else:
            with self.lock:
                self.upstream.append((output, properties, message.payload))
        return None

    def about_twin(self, message: Any) -> None:
        request = re.findall(r"\$rid=([^&]+)", message.topic)[0]
        if "/GET/" in message.topic:
            return self.reply(request, 200, json.dumps(self.twin).encode())
        self.twin["reported"].update(json.loads(message.payload))
        return self.reply(request, 204, b"")

    def reply(self, request: str, status: int, body: bytes) -> None:
        self.client.publish(f"$iothub/twin/res/{status}/?$rid={request}", body, 0)

    def change(self, desired: dict[str, Any]) -> None:
        """A patch of the desired properties, as the cloud sends it."""
        self.twin["desired"]["$version"] += 1
        patch = {**desired, "$version": self.twin["desired"]["$version"]}
        self.client.publish(
            f"$iothub/twin/PATCH/properties/desired/?$version={patch['$version']}", json.dumps(patch), 0
        )

    def reported(self) -> dict[str, Any]:
        return dict(self.twin["reported"].get("scoring", {}))

    def bodies(self, output: str) -> list[Any]:
        with self.lock:
            return [json.loads(body) for name, _, body in self.upstream if name == output]


class Sensor:
    """Another module: it sends readings to its output, in order, each once."""

    def __init__(self, broker: Broker) -> None:
        self.client = broker.connect("sensor")
        until(self.client.is_connected)

    def send(self, body: bytes, **properties: str) -> None:
        named = {"$.on": "readings", "$.ct": "application/json", "$.ce": "utf-8", **properties}
        rest = urllib.parse.urlencode(named, quote_via=urllib.parse.quote)
        sent = self.client.publish(f"devices/{DEVICE}/modules/sensor/messages/events/{rest}", body, 1)
        until(sent.is_published)


def environment(broker: Broker, workload: Path) -> dict[str, str]:
    """What edgeAgent gives to a module's container."""
    return {
        "IOTEDGE_DEVICEID": DEVICE,
        "IOTEDGE_MODULEID": MODULE,
        "IOTEDGE_MODULEGENERATIONID": "1",
        "IOTEDGE_IOTHUBHOSTNAME": "hub.example",
        "IOTEDGE_GATEWAYHOSTNAME": broker.address,
        "IOTEDGE_WORKLOADURI": f"unix://{workload}",
        "IOTEDGE_APIVERSION": "2019-01-30",
        "IOTEDGE_AUTHSCHEME": "sasToken",
    }
