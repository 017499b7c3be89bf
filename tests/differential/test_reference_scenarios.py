"""What the reference's own end-to-end tests look at, seen the same way from outside: banner, logs, answers."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

import pytest

from .servers import Server, Service, service
from .wire import json_request, request

KEY = "2f1c5a57-1c3e-4d8e-9a53-0e6a6a1b2c3d"
DATE = r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},\d{3}"


@dataclass(frozen=True)
class Scenario:
    """A start, the lines its stdout must hold, and those it must not."""

    id: str
    service: Service
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    header: tuple[str, str | None] | None = None


def variables(env: dict[str, str] | None = None, *args: str) -> Service:
    return service("variables.py", env, args)


INVALID = (
    "Invalid Application Insights instrumentation key provided.",
    "Application Insights Key: AppInsights key provided",
    "Application Insights Enabled: false",
    "Application Insights has been disabled.",
    "AML_APP_INSIGHTS_ENABLED:false",
)
NONE_GIVEN = ("AML_APP_INSIGHTS_ENABLED:false", "AML_APP_INSIGHTS_KEY:__NONE__", "AZUREML_MODEL_DIR:__NONE__")
USE_MODEL_DIR = "Use the --model_dir command line argument to set it."
VERSION = "x-ms-server-version"
SWITCH = "SERVER_VERSION_LOG_RESPONSE_ENABLED"

SCENARIOS = [
    Scenario("nothing-but-a-script", variables(), (*NONE_GIVEN, USE_MODEL_DIR), header=(VERSION, "azmlinfsrv/1.5.1")),
    Scenario("model-dir-flag", variables(None, "--model_dir", "./my/dir"), ("AZUREML_MODEL_DIR:./my/dir",)),
    Scenario(
        "model-dir-flag-beats-environment",
        variables({"AZUREML_MODEL_DIR": "./not/good"}, "--model_dir", "./my/dir"),
        ("AZUREML_MODEL_DIR:./my/dir", "Model Directory: ./my/dir"),
    ),
    Scenario("model-dir-variable", variables({"AZUREML_MODEL_DIR": "./not/good"}), never=(USE_MODEL_DIR,)),
    Scenario("version-switch-on", variables({SWITCH: "true"}), header=(VERSION, "azmlinfsrv/1.5.1")),
    Scenario("version-switch-off", variables({SWITCH: "false"}), header=(VERSION, None)),
    Scenario("version-switch-of-other-text", variables({SWITCH: "notgood"}), header=(VERSION, None)),
    Scenario("insights-bad-key", variables(None, "--appinsights_instrumentation_key", "my-super-key"), INVALID),
    Scenario(
        "insights-bad-key-flag-beats-good-key-variable",
        variables({"AML_APP_INSIGHTS_KEY": KEY}, "--appinsights_instrumentation_key", "my-super-key"),
        INVALID,
    ),
    Scenario(
        "insights-of-other-text-is-off",
        variables({"AML_APP_INSIGHTS_KEY": KEY, "AML_APP_INSIGHTS_ENABLED": "asdf"}),
        (
            "Application Insights Key: AppInsights key provided",
            "Application Insights Enabled: false",
            "AML_APP_INSIGHTS_ENABLED:false",
        ),
    ),
    Scenario("two-workers", variables({"WORKER_COUNT": "2"}), ("Worker Count: 2",)),
    Scenario("worker-timeout", variables({"WORKER_TIMEOUT": "20"}), ("Worker Timeout (seconds): 20",)),
    Scenario("port-variable-is-not-looked-at", variables({"SERVER_PORT": "3535"}), never=("Server Port: 3535",)),
    Scenario(
        "cors-any",
        variables(None, "--access_control_allow_origins", "*"),
        ("CORS for the specified origins: Enabling CORS for *", "Enabling CORS for the following origins: *"),
    ),
    Scenario(
        "cors-list",
        variables(None, "--access_control_allow_origins", "www.a.test, www.b.test, www.c.test"),
        (
            "CORS for the specified origins: Enabling CORS for www.a.test, www.b.test, www.c.test",
            "Enabling CORS for the following origins: www.a.test, www.b.test, www.c.test",
        ),
    ),
    Scenario(
        "separate-health-banner",
        service("variables.py", {"SEPERATE_HEALTH_ENDPOINT": "true"}, ("--health_port", "{health_port}")),
        ("Create dedicated endpoint for health: true",),
    ),
    Scenario(
        "script-named-by-config-file-alone",
        service(
            None,
            args=("--config_file", "config.json"),
            files={
                "config.json": json.dumps(
                    {
                        "AZUREML_ENTRY_SCRIPT": "score.py",
                        "AML_CORS_ORIGINS": "www.a.test ",
                        "SCORING_TIMEOUT_MS": 6000,
                        "AML_APP_INSIGHTS_ENABLED": True,
                        "EXTRA_KEY": False,
                    }
                ),
                "score.py": "def init():\n    pass\ndef run(data):\n    return 'OK'\n",
            },
        ),
        ("azmlinfsrv.user_script - Users's init has completed successfully", "Starting up app insights client"),
    ),
]

# These reach for a telemetry service that is not there: ours alone is started.
WITH_A_GOOD_KEY = [
    Scenario(
        name,
        what,
        (
            "Application Insights Key: AppInsights key provided",
            "Application Insights Enabled: true",
            "Valid Application Insights instrumentation key provided.",
            f"AML_APP_INSIGHTS_KEY:{KEY}",
            "AML_APP_INSIGHTS_ENABLED:true",
        ),
    )
    for name, what in (
        ("flag", variables(None, "--appinsights_instrumentation_key", KEY)),
        ("variables", variables({"AML_APP_INSIGHTS_KEY": KEY, "AML_APP_INSIGHTS_ENABLED": "true"})),
    )
]


def until_said(server: Server, words: str) -> None:
    """Waits, a little, for a line that is on its way out."""
    deadline = time.monotonic() + 5
    while words not in server.stdout and time.monotonic() < deadline:
        time.sleep(0.01)


def check(server: Server, scenario: Scenario) -> None:
    answer = server.ask(request("POST", body="hello"))
    until_said(server, "azmlinfsrv - POST /score")

    assert (answer.status, answer.body) == (200, b'"OK"')
    assert [words for words in scenario.says if words not in server.stdout] == [], server.describe()
    assert [words for words in scenario.never if words in server.stdout] == []
    if scenario.header is not None:
        name, value = scenario.header
        assert answer.values(name) == ([value] if value else [])


@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=scenario.id) for scenario in SCENARIOS])
def test_start_says_and_answers_the_same(start, scenario):
    for server in start(scenario.service).both:
        check(server, scenario)


@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=scenario.id) for scenario in WITH_A_GOOD_KEY])
def test_good_insights_key_is_announced_and_never_shown_in_the_banner(start_ours, scenario):
    server = start_ours(scenario.service)
    check(server, scenario)
    banner = server.stdout.partition("Server Routes")[0]

    assert KEY not in banner


def test_print_in_init_and_run_is_one_record_each(pairs):
    pair = pairs.get(service("talkative.py"))
    for server in pair.both:
        server.ask(request("POST", body="hello"))
        until_said(server, "azmlinfsrv.print - flushed")

        assert len(re.findall(rf"^{DATE} I \[\d+\] azmlinfsrv.print - Initializing$", server.stdout, re.M)) == 1
        assert server.stdout.count("A new request received~~~") == 1
        assert re.search(rf"^{DATE} I \[\d+\] azmlinfsrv.print - A new request received~~~$", server.stdout, re.M)


def test_streamed_answer_is_logged_without_a_length(pairs):
    for server in pairs.get(service("streams.py")).both:
        answer = server.ask(json_request('"events"'))
        until_said(server, "ms N/A")

        assert answer.chunks == [f"item: {item}\n\n".encode() for item in ("one", "two", "three")]
        assert re.search(r"POST /score 200 \d+\.\d{3}ms N/A", server.stdout)


def test_document_is_generated_with_the_default_title(pairs):
    for server in pairs.get(service("schema_required.py")).both:
        document = json.loads(server.ask(request("GET", "/swagger.json")).body)

        assert document["swagger"] == "2.0"
        assert document["info"]["title"] == "ML service"
