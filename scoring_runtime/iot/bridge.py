"""Between the hub and the server: a bounded queue, threads that score, and the twin that says how many."""

from __future__ import annotations

import json
import logging
import queue
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from scoring_runtime.iot.delivery import settle
from scoring_runtime.iot.scorer import Answer, Endpoint, Scorer
from scoring_runtime.iot.twin import ModuleSettings, follow, reported

__all__ = ["Bridge", "output_of"]

logger = logging.getLogger("scoring-iot")

QUEUE_LENGTH = 64  # messages that wait here; the hub's own window is usually smaller
LONGEST_PAUSE_SECONDS = 10.0
LONGEST_STOP_SECONDS = 30.0
ERROR_BYTES = 4096

MakeMessage = Callable[[bytes], Any]  # azure.iot.device.Message


class Bridge:
    """Scores messages until it is stopped; `client` is an IoTHubModuleClient, or what behaves like one."""

    def __init__(self, client: Any, make_message: MakeMessage, endpoint: Endpoint) -> None:
        self.client = client
        self.make_message = make_message
        self.endpoint = endpoint
        self.settings = ModuleSettings()
        self.version = 0  # of the desired properties that are followed
        self.stopping = threading.Event()
        self.waiting: queue.Queue[Any] = queue.Queue(QUEUE_LENGTH)
        self.threads: dict[int, threading.Thread] = {}
        self.lock = threading.Lock()
        self.busy = 0

    def __repr__(self) -> str:
        return f"<Bridge {self.busy}/{self.settings.concurrency} busy, {self.waiting.qsize()} waiting>"

    def start(self) -> None:
        """Connect, read the twin, then take messages; tries until the hub is there, or stop() is called."""
        self.client.on_twin_desired_properties_patch_received = self.desired
        self.persist("connect to the hub", self.client.connect)
        self.read_twin()
        self.client.on_connection_state_change = self.reconnected
        self.client.on_message_received = self.receive
        if not self.stopping.is_set():
            logger.info("Scoring messages of the input %s: %s", self.settings.input, self)

    def stop(self) -> None:
        """Finish what runs; what waits stays with the hub, unacknowledged."""
        self.stopping.set()
        for thread in list(self.threads.values()):
            thread.join(min(self.endpoint.timeout_seconds, LONGEST_STOP_SECONDS))
        self.client.shutdown()

    def persist(self, what: str, action: Callable[[], Any]) -> Any:
        """Until it is done or we stop; raises ValueError and TypeError, which no waiting mends."""
        pause = 0.5
        while not self.stopping.is_set():
            try:
                return action()
            except Exception as error:  # the SDK's errors share no useful base
                if type(error) in (TypeError, ValueError):  # exactly: an error of a certificate is a ValueError too
                    raise
                logger.warning("Cannot %s: %s: %s. Trying again.", what, type(error).__name__, error)
                self.stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return None

    # the twin

    def read_twin(self) -> None:
        twin = self.persist("read the twin", self.client.get_twin) or {}
        self.desired(twin.get("desired", {}), ModuleSettings())

    def reconnected(self) -> None:
        """On a thread of the SDK's. What changed while the hub was away is not sent again."""
        if self.client.connected and not self.stopping.is_set():
            self.read_twin()

    def desired(self, properties: Mapping[str, Any], before: ModuleSettings | None = None) -> None:
        """Follow the desired properties, a patch or with `before` all of them, and report what holds."""
        with self.lock:
            version = properties.get("$version") or 0
            if version < self.version:
                return  # older than a patch that has come in between
            self.version = version
            self.settings, rejected = follow(before or self.settings, properties)
            settings = self.settings
        for sentence in rejected:
            logger.warning("The twin's setting is not taken: %s", sentence)
        logging.getLogger().setLevel(settings.log_level)
        self.staff()
        patch = reported(settings, rejected, properties.get("$version"))
        self.persist("report to the twin", lambda: self.client.patch_twin_reported_properties(patch))

    def staff(self) -> None:
        """As many threads as the twin wants; those that are too many leave by themselves."""
        with self.lock:
            for n in range(self.settings.concurrency):
                if n not in self.threads or not self.threads[n].is_alive():
                    self.threads[n] = threading.Thread(target=self.work, args=(n,), name=f"scorer-{n}", daemon=True)
                    self.threads[n].start()

    # messages

    def receive(self, message: Any) -> None:
        """On a thread of the SDK's: waits while the queue is full."""
        if message.input_name != self.settings.input:
            logger.warning(
                "A message came in at %s, which is not %s: dropped.", message.input_name, self.settings.input
            )
            settle(message)
            return
        queued = False
        while not queued and not self.stopping.is_set():
            try:
                self.waiting.put(message, timeout=0.5)
                queued = True
            except queue.Full:
                pass

    def work(self, n: int) -> None:
        scorer = Scorer(self.endpoint, self.stopping)
        while not self.stopping.is_set() and n < self.settings.concurrency:
            try:
                message = self.waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            self.count(1)
            try:
                self.handle(scorer, message)
            except Exception:  # one message must not end the thread; unsettled, the hub sends it again
                logger.exception("A message could not be handled")
            finally:
                self.count(-1)
        scorer.close()

    def count(self, change: int) -> None:
        with self.lock:
            self.busy += change

    def handle(self, scorer: Scorer, message: Any) -> None:
        """Score, send, and only then acknowledge."""
        answer = scorer.score(bytes(message.data), headers_of(message))
        if answer is None:
            return
        try:
            self.send(message, answer, message.custom_properties)
        except (TypeError, ValueError) as error:  # of the SDK: too large for the hub, which takes 256 KB
            logger.error("The answer (%d bytes) cannot be sent: %s", len(answer.body), error)
            self.send(message, Answer(413, f"The answer has {len(answer.body)} bytes. {error}".encode()), {})
        if not self.stopping.is_set():
            settle(message)

    def send(self, message: Any, answer: Answer, given: Mapping[str, Any]) -> None:
        """To the output that is its own, with the request's properties."""
        output, data, properties = output_of(self.settings, answer)
        sent = self.make_message(data)
        sent.message_id = str(uuid.uuid4())
        sent.correlation_id = identity(message)
        sent.content_type, sent.content_encoding = "application/json", "utf-8"
        if output == self.settings.output:
            sent.content_type = answer.content_type.partition(";")[0]
        sent.custom_properties.update({**given, **properties})
        self.persist(f"send to {output}", lambda: self.client.send_message_to_output(sent, output))


def identity(message: Any) -> str:
    """Of a request through all its messages."""
    return str(message.correlation_id or message.message_id or "")


def headers_of(message: Any) -> dict[str, str]:
    headers = {"Content-Type": message.content_type or "application/json"}
    name = identity(message)
    if name and len(name) <= 100 and name.isascii() and name.isprintable():
        headers["x-ms-client-request-id"] = name
    return headers


def output_of(settings: ModuleSettings, answer: Answer) -> tuple[str, bytes, dict[str, str]]:
    """The output, what is sent there, and its properties: a score, or the error that came instead."""
    properties = {"scoring-status": str(answer.status)}
    if 200 <= answer.status < 300:
        return settings.output, answer.body, properties
    text = answer.body[:ERROR_BYTES].decode(errors="replace")
    return settings.error_output, json.dumps({"status": answer.status, "error": text}).encode(), properties
