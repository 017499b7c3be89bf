"""The newer data collector, with a seam instead of the agent, and once with an agent on a free port."""

import json
import logging
import queue
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pandas as pd
import pytest

from scoring_runtime.api import collector as module
from scoring_runtime.api.collector import Collector, Drain, MdcSettings, sampled
from scoring_runtime.api.correlation import BasicCorrelationContext, CorrelationContext

FRAME = pd.DataFrame({"a": [1, 2]})
ON = {"AZUREML_MDC_ENABLED": "true"}


class Taken:
    """A post() that keeps what it gets, and waits for the gate."""

    def __init__(self, is_open: bool = True) -> None:
        self.records: queue.Queue = queue.Queue()
        self.gate = threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, record) -> None:
        self.gate.wait(10)
        self.records.put(record)


@pytest.fixture
def configured(tmp_path):
    def write(**config) -> dict[str, str]:
        path = tmp_path / "mdc.json"
        path.write_text(json.dumps(config))
        return {"AZUREML_MDC_CONFIG_PATH": str(path)}

    return write


def test_a_frame_is_posted_with_what_is_known_of_it(configured):
    taken = Taken()
    environ = configured(collections={"model_inputs": {"enabled": True}}, captureHeaders=["X-User", "X-None"])
    inputs = Collector(name="Model_Inputs", model_version="3", drain=Drain(MdcSettings(environ), taken))
    context = inputs.collect(FRAME, BasicCorrelationContext("id-1", 86400, {"x-user": "me", "Trace-Id": "t"}))
    assert taken.records.get(timeout=10) == (
        b'[{"a":1},{"a":2}]',
        {
            "Content-Type": "application/json",
            "ce-type": "azureml.inference.model_inputs",
            "ce-time": "1970-01-02T00:00:00Z",
            "ce-agent": "scoring-runtime",
            "ce-collect-data-type": "pandas.core.frame.DataFrame",
            "ce-x-request-id": "id-1",
            "ce-model-version": "3",
            "trace-id": "t",
            "ce-x-user": "me",
        },
    )
    assert (context.get_id(), context.get_timestamp(), context.is_success()) == ("id-1", 86400, True)


def test_the_context_of_the_inputs_ties_the_outputs():
    taken = Taken()
    drain = Drain(MdcSettings(ON), taken)
    context = Collector(name="model_inputs", drain=drain).collect(FRAME)
    Collector(name="model_outputs", drain=drain).collect(FRAME, context)
    first, second = taken.records.get(timeout=10), taken.records.get(timeout=10)
    assert first[1]["ce-x-request-id"] == second[1]["ce-x-request-id"] == str(context)
    assert second[1]["ce-type"] == "azureml.inference.model_outputs"


def test_a_collector_that_is_off_returns_a_context():
    collector = Collector(name="model_inputs", drain=Drain(MdcSettings({}), Taken()))
    context = collector.collect(FRAME)
    assert (context.is_success(), "is off" in context.get_message(), context.get_headers()) == (False, True, {})
    assert collector.drain.thread is None
    assert collector.collect("not a frame").get_id()


@pytest.mark.parametrize(
    ("collections", "rates"),
    [
        ({"A": {"enabled": True}}, {"a": 100, "b": 0}),
        ({"a": {"enabled": "false"}, "b": {"enabled": "True"}}, {"a": 0, "b": 100}),
        ({"a": {"sampleRatePercentage": 10}, "b": {"sampling_percentage": 20}}, {"a": 10, "b": 20}),
        ({"request": {"enabled": True}, "response": {"enabled": True}}, {"request": 0, "response": 0}),
        ({}, {"a": 0}),
    ],
)
def test_the_file_says_what_is_collected_and_how_much_of_it(configured, collections, rates):
    settings = MdcSettings(configured(collections=collections))
    assert {name: settings.rate_of(name) for name in rates} == rates


@pytest.mark.parametrize(
    ("environ", "rate"),
    [
        ({}, 0),
        (ON, 100),
        (ON | {"AZUREML_MDC_SAMPLE_RATE": "25"}, 25),
        (ON | {"AZUREML_MDC_CONFIG_PATH": "/nowhere"}, 100),
    ],
)
def test_the_environment_says_so_where_there_is_no_file(environ, rate):
    assert MdcSettings(environ).rate_of("any") == rate


def test_where_the_agent_is():
    settings = MdcSettings({"AZUREML_MDC_HOST": "h", "AZUREML_MDC_PORT": "1", "AZUREML_MDC_QUEUE_CAPACITY": "2"})
    assert (settings.host, settings.port, settings.capacity) == ("h", 1, 2)


def test_a_number_that_is_none_is_warned_of(caplog):
    assert MdcSettings({"AZUREML_MDC_PORT": "x"}).port == 50011
    assert "AZUREML_MDC_PORT" in caplog.text


def test_what_is_no_frame_is_refused():
    with pytest.raises(TypeError, match="pandas DataFrame, got list"):
        Collector(name="a", drain=Drain(MdcSettings(ON), Taken())).collect([1])


def test_a_collection_has_a_name():
    with pytest.raises(ValueError, match="name"):
        Collector(name="")


def test_errors_are_handed_to_on_error():
    errors: list[Exception] = []
    context = Collector(name="a", on_error=errors.append, drain=Drain(MdcSettings(ON), Taken())).collect([1])
    assert [type(error) for error in errors] == [TypeError]
    assert "DataFrame" in context.get_message()


def test_a_full_queue_drops_and_never_waits():
    taken = Taken(is_open=False)
    drain = Drain(MdcSettings(ON | {"AZUREML_MDC_QUEUE_CAPACITY": "1"}), taken)
    errors: list[Exception] = []
    collector = Collector(name="a", on_error=errors.append, drain=drain)
    for _ in range(5):  # one may be in the thread's hands, one waits
        collector.collect(FRAME)
    assert drain.dropped >= 3
    assert len(errors) == drain.dropped
    assert drain.flush(0.01) is False
    taken.gate.set()
    assert drain.flush(10)


def test_a_full_queue_raises_without_on_error():
    taken = Taken(is_open=False)
    collector = Collector(name="a", drain=Drain(MdcSettings(ON | {"AZUREML_MDC_QUEUE_CAPACITY": "1"}), taken))
    with pytest.raises(OSError, match="dropped"):
        list(map(collector.collect, [FRAME] * 3))
    taken.gate.set()
    assert collector.drain.flush(10)


def test_a_sample_keeps_inputs_and_outputs_together():
    chosen = [sampled(f"id-{number}", 30) for number in range(1000)]
    assert 240 < sum(chosen) < 360
    assert chosen == [sampled(f"id-{number}", 30) for number in range(1000)]
    assert sampled("any", 100)


def test_what_is_not_in_the_sample_is_left_out():
    drain = Drain(MdcSettings(ON | {"AZUREML_MDC_SAMPLE_RATE": "1"}), Taken())
    contexts = [Collector(name="a", drain=drain).collect(FRAME, BasicCorrelationContext(f"id-{n}")) for n in range(50)]
    assert (
        "1 % of 'a' is collected" in {context.get_message() for context in contexts if not context.is_success()}.pop()
    )
    assert drain.flush(10)


def test_a_post_that_fails_is_warned_of_once(caplog):
    def fail(record):
        raise OSError("refused")

    drain = Drain(MdcSettings(ON), fail)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            Collector(name="a", drain=drain).collect(FRAME)
        assert drain.flush(10)
    assert (drain.failed, len(caplog.records)) == (3, 1)
    assert "127.0.0.1:50011 (refused)" in caplog.text


def test_a_context_of_ones_own_will_do():
    class Mine(CorrelationContext):
        def get_id(self):
            return "mine"

    taken = Taken()
    context = Collector(name="a", drain=Drain(MdcSettings(ON), taken)).collect(FRAME, Mine())
    assert taken.records.get(timeout=10)[1]["ce-x-request-id"] == str(context) == repr(context) == "mine"
    assert (CorrelationContext().get_id(), context.get_timestamp()) == ("", 0)


def test_one_queue_serves_all_collectors_of_an_agent(monkeypatch):
    monkeypatch.setattr(module, "shared", {})
    monkeypatch.setenv("AZUREML_MDC_PORT", "1")
    assert Collector(name="a").drain is Collector(name="b").drain


@pytest.fixture
def agent():
    got: queue.Queue = queue.Queue()

    class Agent(BaseHTTPRequestHandler):
        def do_POST(self):
            got.put((self.path, self.rfile.read(int(self.headers["Content-Length"])), self.headers["ce-type"]))
            self.send_response(503 if self.headers["ce-type"].endswith("bad") else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Agent)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port, got
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_agent_gets_the_rows(agent):
    port, got = agent
    drain = Drain(MdcSettings(ON | {"AZUREML_MDC_PORT": str(port)}))
    Collector(name="good", drain=drain).collect(FRAME)
    Collector(name="bad", drain=drain).collect(FRAME)
    assert got.get(timeout=10) == ("/modeldata/log", b'[{"a":1},{"a":2}]', "azureml.inference.good")
    assert drain.flush(10)
    assert drain.failed == 1
