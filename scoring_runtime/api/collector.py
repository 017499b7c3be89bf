"""Collector: sends the DataFrames that run() sees to the data collection agent beside the server.

collect() only puts a record into a bounded queue; a daemon thread posts them. What does not fit is counted and reported
to `on_error`, so that collecting never makes run() wait.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from scoring_runtime.api.correlation import BasicCorrelationContext, CorrelationContext, WrapperContext

__all__ = ["Collector", "MdcSettings"]

logger = logging.getLogger("azmlinfsrv.collector")

PAYLOAD_NAMES = ("request", "response")  # collections of the server's own payload logging, never of a script
FLUSH_SECONDS = 3.0
POST_SECONDS = 5.0
AGENT = "scoring-runtime"

OnError = Callable[[Exception], Any]
Record = tuple[bytes, dict[str, str]]


class MdcSettings:
    """Which collections are on, at which rate, and where the agent listens."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.host = environ.get("AZUREML_MDC_HOST") or "127.0.0.1"
        self.port = number(environ, "AZUREML_MDC_PORT", 50011)
        self.capacity = number(environ, "AZUREML_MDC_QUEUE_CAPACITY", 1500)
        self.compact = truth(environ.get("AZUREML_MDC_FORMAT_COMPACT"))
        self.debug = truth(environ.get("AZUREML_MDC_DEBUG"))
        self.headers: list[str] = []
        self.collections: dict[str, float] | None = None  # None: any name, at the default rate
        self.rate = float(number(environ, "AZUREML_MDC_SAMPLE_RATE", 100))
        self.enabled = truth(environ.get("AZUREML_MDC_ENABLED"))
        path = environ.get("AZUREML_MDC_CONFIG_PATH")
        if path and os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                self.read(json.load(file))

    def read(self, config: dict[str, Any]) -> None:
        self.headers = [str(name) for name in config.get("captureHeaders") or []]
        self.collections = {}
        for name, one in (config.get("collections") or {}).items():
            name = name.lower()
            if truth(one.get("enabled", True)) and name not in PAYLOAD_NAMES:
                # The deployment tool writes one spelling, the reference reads only the other.
                rate = one.get("sampleRatePercentage", one.get("sampling_percentage"))
                self.collections[name] = self.rate if rate is None else float(rate)
        self.enabled = bool(self.collections)

    def rate_of(self, name: str) -> float:
        """Percent of the records of a collection that are sent; 0 if it is off."""
        if not self.enabled:
            return 0.0
        return self.rate if self.collections is None else self.collections.get(name, 0.0)


def number(environ: dict[str, str], name: str, default: int) -> int:
    text = environ.get(name)
    try:
        return int(text) if text else default
    except ValueError:
        logger.warning("%s: expected a whole number, got %r; using %d.", name, text, default)
        return default


def truth(value: object) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes")


class Drain:
    """The queue, and the thread that empties it."""

    def __init__(self, settings: MdcSettings, post: Callable[[Record], None] | None = None) -> None:
        self.settings = settings
        self.post = post or self.post_to_agent
        self.queue: queue.Queue[Record] = queue.Queue(max(1, settings.capacity))
        self.dropped = 0
        self.failed = 0
        self.thread: threading.Thread | None = None
        self.lock = threading.Lock()

    def offer(self, record: Record) -> bool:
        """Queue the record unless the queue is full; never waits."""
        if self.thread is None or not self.thread.is_alive():  # also after a fork, which leaves threads behind
            self.start()
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def start(self) -> None:
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self.work, name="model-data-collector", daemon=True)
                self.thread.start()
                atexit.unregister(self.flush)
                atexit.register(self.flush)

    def work(self) -> None:
        while True:
            record = self.queue.get()
            try:
                self.post(record)
            except Exception as error:
                self.failed += 1
                if self.failed == 1:
                    logger.warning(
                        "Collected data could not be sent to %s:%s (%s); the records are lost. Start the agent there, "
                        "or set AZUREML_MDC_HOST and AZUREML_MDC_PORT.",
                        self.settings.host,
                        self.settings.port,
                        error,
                    )
            finally:
                self.queue.task_done()

    def post_to_agent(self, record: Record) -> None:
        from http.client import HTTPConnection

        body, headers = record
        connection = HTTPConnection(self.settings.host, self.settings.port, timeout=POST_SECONDS)
        try:
            connection.request("POST", "/modeldata/log", body, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status >= 300:
            raise OSError(f"the agent answered {status}")

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything is sent, but not longer; False if something is left."""
        deadline = time.monotonic() + seconds
        with self.queue.all_tasks_done:
            while self.queue.unfinished_tasks:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self.queue.all_tasks_done.wait(left)
        return True


shared: dict[str, Drain] = {}


def shared_drain(settings: MdcSettings) -> Drain:
    """One queue and one thread for all collectors of an agent."""
    return shared.setdefault(f"{settings.host}:{settings.port}", Drain(settings))


class Collector:
    """Collects pandas DataFrames under a name: `context = Collector(name="model_inputs").collect(frame)`.

    Where collecting is off, or the name is, collect() does nothing but return a context.
    """

    def __init__(
        self,
        *,
        name: str,
        on_error: OnError | None = None,
        model_version: str | None = None,
        drain: Drain | None = None,
    ) -> None:
        if not name:
            raise ValueError("name: expected the name of a collection, such as 'model_inputs'.")
        self.name = name.lower()
        self.on_error = on_error
        self.model_version = model_version or ""
        settings = MdcSettings(dict(os.environ)) if drain is None else drain.settings
        self.rate = settings.rate_of(self.name)
        self.drain = drain or shared_drain(settings)

    def collect(self, data: Any, correlation_context: CorrelationContext | None = None) -> CorrelationContext:
        """Queue the DataFrame; the context returned ties further data to it.

        A refused type or a full queue is handed to `on_error`, or raised if there is none.
        """
        context = correlation_context or BasicCorrelationContext()
        if self.rate <= 0:
            return WrapperContext(context, False, f"Collection {self.name!r} is off.")
        if not (hasattr(data, "to_json") and hasattr(data, "columns")):
            kind = type(data).__name__
            error = TypeError(f"collect(): expected a pandas DataFrame, got {kind}. Write pandas.DataFrame(...).")
            return self.refused(context, error)
        if not sampled(context.get_id(), self.rate):
            return WrapperContext(context, False, f"Left out: {self.rate:g} % of {self.name!r} is collected.")
        if not self.drain.offer((self.body(data), self.headers(data, context))):
            waiting = self.drain.queue.maxsize
            return self.refused(context, OSError(f"{self.name!r}: {waiting} records are waiting already; dropped."))
        return WrapperContext(context, True, "")

    def refused(self, context: CorrelationContext, error: Exception) -> CorrelationContext:
        if self.on_error is None:
            raise error
        self.on_error(error)
        return WrapperContext(context, False, str(error))

    def body(self, data: Any) -> bytes:
        # Here and not in the thread: the script may change the frame after collect() has returned.
        return data.to_json(orient="records", date_format="iso").encode()  # type: ignore[no-any-return]

    def headers(self, data: Any, context: CorrelationContext) -> dict[str, str]:
        kind = type(data)
        timestamp = context.get_timestamp() or time.time()
        found = {name.lower(): value for name, value in context.get_headers().items()}
        headers = {
            "Content-Type": "application/json",
            "ce-type": f"azureml.inference.{self.name}",
            "ce-time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(timestamp)),
            "ce-agent": AGENT,
            "ce-collect-data-type": f"{kind.__module__}.{kind.__name__}".replace("pandas.DataFrame", PANDAS_FRAME),
            "ce-x-request-id": context.get_id(),
            "ce-model-version": self.model_version,
            "trace-id": found.get("trace-id") or context.get_id(),
        }
        for name in self.drain.settings.headers:
            if name.lower() in found:
                headers[f"ce-{name.lower()}"] = found[name.lower()]
        return headers


PANDAS_FRAME = "pandas.core.frame.DataFrame"  # also where pandas 3 has moved it


def sampled(id: str, percent: float) -> bool:
    """Whether a record is in the sample; the same for all data with one id, so that inputs keep their outputs."""
    return percent >= 100 or random.Random(id).random() * 100 < percent
