"""`scoring-iot -- scoring-serve score.py`: the server as it is, and beside it the module's messages."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from scoring_runtime.errors import SettingsError
from scoring_runtime.iot import delivery
from scoring_runtime.iot.bridge import Bridge
from scoring_runtime.iot.scorer import Endpoint
from scoring_runtime.settings import Settings

__all__ = ["main"]

logger = logging.getLogger("scoring-iot")

# Of the SDK, for work outside a container.
DEVELOPMENT_VARIABLE = "EdgeHubConnectionString"
EDGE_VARIABLES = ("IOTEDGE_WORKLOADURI", "IOTEDGE_DEVICEID", "IOTEDGE_MODULEID", "IOTEDGE_GATEWAYHOSTNAME")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until the server ends or a signal comes; the server's exit code, 3 where the module is set up wrongly."""
    parser = argparse.ArgumentParser(prog="scoring-iot", description=__doc__)
    parser.add_argument("--retry-seconds", type=int, default=10, help="between attempts to reach the hub (default 10)")
    parser.add_argument("command", nargs="*", help="the server's command, after --; without one it runs elsewhere")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s - %(message)s")
    try:
        settings = Settings.load(os.environ)
        check_environment()
        delivery.install()
    except SettingsError as error:
        logger.error("%s", error)
        return 3
    endpoint = Endpoint.of(os.environ, settings.port, settings.scoring_timeout_ms)
    return Module(options.command, endpoint, options.retry_seconds).run()


def check_environment() -> None:
    missing = [name for name in EDGE_VARIABLES if not os.environ.get(name)]
    if missing and not os.environ.get(DEVELOPMENT_VARIABLE):
        fix = f"edgeAgent sets it in a module's container; elsewhere set {DEVELOPMENT_VARIABLE}."
        raise SettingsError(missing[0], "nothing", "the environment of an IoT Edge module", fix)


class Module:
    """The server's process, the bridge in threads, and the signals for both."""

    def __init__(self, command: Sequence[str], endpoint: Endpoint, retry_seconds: int) -> None:
        self.command = command
        self.endpoint = endpoint
        self.retry_seconds = retry_seconds
        self.ended = threading.Event()

    def run(self) -> int:
        server = subprocess.Popen(self.command) if self.command else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ended.set())
        if server is not None:
            threading.Thread(target=self.watch, args=(server,), daemon=True).start()
        bridge: list[Bridge] = []
        starter = threading.Thread(target=self.connect, args=(bridge,), daemon=True)
        starter.start()
        self.ended.wait()
        for one in bridge:
            one.stop()  # before the server, so that what runs is answered
        if server is None:
            return 0
        if server.poll() is None:
            server.terminate()
        return server.wait()

    def watch(self, server: subprocess.Popen[bytes]) -> None:
        code = server.wait()
        if not self.ended.is_set():
            logger.error("The server has ended with %s.", code)
            self.ended.set()

    def connect(self, bridge: list[Bridge]) -> None:
        from azure.iot.device import IoTHubModuleClient, Message

        pause = 0.5
        while not self.ended.is_set():
            try:
                client: Any = IoTHubModuleClient.create_from_edge_environment(
                    connection_retry_interval=self.retry_seconds
                )
                break
            except Exception as error:  # edgeAgent's workload API may come later than we do
                logger.warning("The module's identity is not to be had: %s: %s. Trying again.", error, error.__cause__)
                self.ended.wait(pause)
                pause = min(2 * pause, 10.0)
        else:
            return
        bridge.append(Bridge(client, Message, self.endpoint))
        bridge[0].start()


if __name__ == "__main__":
    sys.exit(main())
