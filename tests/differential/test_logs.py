"""What is written to stdout and stderr: format, loggers, messages, how often."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter

import pytest

from .conftest import Pairs
from .servers import Server, service, standing_in
from .wire import request

TALKATIVE = service("talkative.py")
AGENT = [("User-Agent", "tester/1.0"), ("Referer", "http://a.test/")]
LOG_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) ([DIWEC]) \[(\d+)\] ([\w.]+) - (.*)$", re.DOTALL)

SESSION = [
    *[
        request("POST", body=body, headers=AGENT)
        for body in ("hello", "raise", "own", "busy", "stream", "thread", b"\xff")
    ],
    request("GET", "/score?a=1&b=%20x"),
    request("GET", "/swagger.json?version=9"),
    request("GET", "/missing"),
    request("PUT", "/score"),
    request("HEAD", "/score"),
    request("OPTIONS", "/score"),
    request("GET", "/"),
    request("GET", "/?x=1"),
    request("POST", body="own", headers=[("x-ms-request-id", "x")]),
    request("POST", body="own", headers=[("x-request-id", "x" * 101)]),
]


class Log:
    """The output of one server: log records and, apart from them, raw lines."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.records: dict[str, list[tuple[str, str, str]]] = {}
        self.raw: dict[str, list[str]] = {}
        self.pids: set[str] = set()
        for name, text in (("stdout", server.stdout), ("stderr", server.stderr)):
            records: list[tuple[str, str, str]] = []
            raw: list[str] = []
            for line in text.splitlines():
                match = LOG_LINE.match(line)
                if match:
                    self.pids.add(match[3])
                    records.append((match[2], match[4], self.normal(match[5])))
                else:
                    raw.append(line)
            self.records[name], self.raw[name] = records, raw

    def normal(self, message: str) -> str:
        message = message.replace(str(self.server.root), "<root>").replace(str(self.server.port), "<port>")
        message = re.sub(r"\b\d+\.\d{3}ms", "<ms>", message)
        message = re.sub(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]", "[<date>]", message)
        return re.sub(r"pid:? \d+", "pid <pid>", message)

    def of(self, logger: str, stream: str = "stdout") -> Counter[tuple[str, str]]:
        return Counter((level, text) for level, name, text in self.records[stream] if name == logger)


def play(server: Server) -> Log:
    for raw in SESSION:
        server.ask(raw)
    server.signal(signal.SIGTERM)
    server.wait_exit()
    return Log(server)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, reference_command: list[str]) -> tuple[Log, Log]:
    """(the reference's, ours) after the same requests."""
    pair = Pairs(tmp_path_factory.mktemp("logs"), reference_command).make(TALKATIVE)
    try:
        pair.start()
        return play(pair.reference), play(pair.ours)
    finally:
        pair.stop()


@pytest.mark.parametrize(
    "logger", ["azmlinfsrv.print", "azmlinfsrv.user_script", "azmlinfsrv.swagger", "gunicorn.access"]
)
def test_logger_says_the_same_as_often(logs, logger):
    reference, ours = logs

    assert ours.of(logger) == reference.of(logger)
    assert reference.of(logger)


def test_server_logger_says_the_same_as_often(logs):
    reference, ours = (log.of("azmlinfsrv") for log in logs)
    for text in list(reference):
        if text[1].startswith(("Found extra keys", "Encountered Exception", "Loaded logging config")):
            del reference[text]

    assert reference - ours == Counter()
    assert {text for text in ours if re.match(r"(GET|POST|HEAD|PUT|OPTIONS) ", text[1])} == {
        text for text in reference if re.match(r"(GET|POST|HEAD|PUT|OPTIONS) ", text[1])
    }


def test_arbiter_speaks_on_stderr(logs):
    for log in logs:
        messages = " ".join(text for _, text in log.of("gunicorn.error", "stderr"))

        assert "Starting gunicorn" in messages
        assert "Listening at: http://0.0.0.0:<port>" in messages
        assert "Booting worker with pid <pid>" in messages
        assert "Handling signal: term" in messages
        assert "Shutting down: Master" in messages
        assert not log.of("gunicorn.error", "stdout")


def test_raw_writes_go_out_as_they_are(logs):
    for log in logs:
        runs = log.raw["stdout"].count("written to stdout")

        assert runs == 2
        assert [log.raw["stderr"].count(text) for text in ("to stderr", "written to stderr")] == [runs, runs]


@pytest.mark.parametrize(
    ("level", "logger", "text", "times"),
    [
        ("WARNING", "mine", "own warning in init", 1),
        ("ERROR", "mine", "own error in run", 2),
        ("WARNING", "root", "root warning in run", 2),
    ],
)
def test_script_s_own_loggers_are_heard(logs, level, logger, text, times):
    """E: ours writes them as log records; the reference as bare lines."""
    reference, ours = logs
    records = [record for stream in ours.records.values() for record in stream]

    assert reference.raw["stderr"].count(f"{level}:{logger}:{text}") == times
    if not standing_in():
        assert records.count((level[0], logger, text)) == times


def test_print_to_a_file_goes_there_alone(logs):
    for log in logs:
        assert (log.server.root / "printed.txt").read_text() == "to a file\n" * 2
        assert "to a file" not in log.server.stdout


def test_print_of_two_lines_is_one_record(logs):
    for log in logs:
        assert log.server.stdout.count("azmlinfsrv.print - two\nlines\n") == 2


def test_traceback_is_logged_once_and_points_at_the_user_s_line(logs):
    for log in logs:
        assert log.server.stdout.count("\nValueError: the cause of it all") == 1
        assert re.search(r'File ".*talkative\.py", line \d+, in run\n +raise ValueError', log.server.stdout)
        assert any(text.startswith("Encountered Exception") for _, text in log.of("azmlinfsrv"))
        assert "the cause of it all" not in log.server.stderr


def test_health_probes_are_not_logged(logs):
    for log in logs:
        paths = [text for _, text in log.of("gunicorn.access")]

        assert not any('"GET / HTTP/1.1"' in text for text in paths)
        assert any('"GET /?x=1 HTTP/1.1"' in text for text in paths)


def test_banner_is_the_same(logs):
    reference, ours = logs
    start = reference.raw["stdout"].index(next(line for line in reference.raw["stdout"] if "has not been set" in line))
    expected = [reference.normal(line) for line in reference.raw["stdout"][start:] if line][:22]
    expected = expected[: expected.index("Score:          POST  127.0.0.1:<port>/score") + 1]
    lines = [ours.normal(line) for line in ours.raw["stdout"] if line]

    assert [line for line in lines if line in expected] == expected
    assert "Server Settings" in expected


def test_level_and_process_of_each_record(logs):
    for log in logs:
        assert all(int(pid) > 0 for pid in log.pids)
        assert ("W", "server's logger in run") in log.of("azmlinfsrv")
        assert ("I", "server's logger in init") in log.of("azmlinfsrv")


FORMATTED = {
    "version": 1,
    "formatters": {
        "own": {
            "class": "azureml_inference_server_http.log_config.AMLLogFormatter",
            "format": "[%(levelname)s] [%(process)d] %(name)s %(asctime)s | %(message)s",
            "style": "%",
        }
    },
    "handlers": {"own": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "own"}},
    "loggers": {
        "azmlinfsrv": {"level": "INFO", "handlers": ["own"], "propagate": False},
        "mine": {"level": "INFO", "handlers": ["own"]},
        "gunicorn.access": {"level": "INFO", "handlers": ["own"], "filters": ["probes"]},
        "gunicorn.error": {"level": "INFO", "handlers": ["own"]},
    },
    "filters": {"probes": {"()": "azureml_inference_server_http.log_config.RootAccessFilter"}},
}
OWN_AT_ROOT = service("talkative.py", files={"logging.json": json.dumps(FORMATTED)})
OWN_BESIDE = service(
    None,
    {"AML_APP_ROOT": "{root}/app"},
    ("--entry_script", "script/score.py"),
    {
        "script/score.py": "def init():\n    print('hello from init')\ndef run(d):\n    return d\n",
        "script/logging.json": json.dumps(FORMATTED),
        "app/empty": "",
    },
)


@pytest.mark.parametrize("what", [OWN_AT_ROOT, OWN_BESIDE], ids=["in-app-root", "beside-the-script"])
def test_user_s_logging_json_is_honoured(start, what):
    pair = start(what)
    for server in pair.both:
        server.ask(request("POST", body="own"))
        server.signal(signal.SIGTERM)
        server.wait_exit()
        date = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"

        assert re.search(
            rf"^\[INFO\] \[\d+\] azmlinfsrv {date} \| Starting up app insights client$", server.stdout, re.M
        )
        assert re.search(
            rf"^\[INFO\] \[\d+\] azmlinfsrv {date} \| POST /score 200 \d+\.\d{{3}}ms \d+$", server.stdout, re.M
        )
        assert re.search(
            rf"^\[INFO\] \[\d+\] gunicorn.access {date} \| 127\.0\.0\.1 - - .*POST /score", server.stdout, re.M
        )
        assert '"GET / HTTP/1.1"' not in server.stdout
        assert re.search(rf"^\[INFO\] \[\d+\] azmlinfsrv.print {date} \| ", server.stdout, re.M)


def test_user_s_own_logger_is_heard_through_logging_json(start):
    for server in start(OWN_AT_ROOT).both:
        server.signal(signal.SIGTERM)
        server.wait_exit()

        assert re.search(r"^\[INFO\] \[\d+\] mine .* \| own info in init$", server.stdout, re.M)
