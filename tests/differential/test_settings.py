"""Environment variables, flags and config.json: what the script and the client see of them."""

from __future__ import annotations

import json
import re

import pytest

from .compare import Case, params
from .servers import Service, service, standing_in
from .wire import json_request, request

DEFAULT = service("environment.py")
ENV = service(
    "environment.py",
    {
        "AML_APP_ROOT": "{root}",
        "AZUREML_MODEL_DIR": "./not/good",
        "SERVER_PORT": "3535",
        "WORKER_COUNT": "1",
        "AML_APP_INSIGHTS_ENABLED": "asdf",
        "MY_OWN": "mine",
    },
)
FLAGS = service("environment.py", {"AZUREML_MODEL_DIR": "/else"}, ("--model_dir", "./my/dir", "--worker_count", "1"))
SUBFOLDER = service(
    None,
    {"AML_APP_ROOT": "{root}/app", "AZUREML_SOURCE_DIRECTORY": "src"},
    ("--entry_script", "app/src/score.py"),
    {
        "app/src/score.py": (
            "import helper, rooted\ndef init():\n    pass\ndef run(d):\n    return [helper.NAME, rooted.NAME]\n"
        ),
        "app/src/helper.py": "NAME = 'beside'\n",
        "app/rooted.py": "NAME = 'at the root'\n",
    },
)


def see(name: str, what: Service, view: str, argument: str | None = None) -> Case:
    return Case(f"settings/{name}", json_request(json.dumps([view, argument])), what)


PROCESS = [
    see("cwd", DEFAULT, "cwd"),
    see("cwd-app-root", ENV, "cwd"),
    see("file", DEFAULT, "file"),
    see("app-root-on-path", DEFAULT, "on-path", "."),
    *[see(view, DEFAULT, view) for view in ("threads", "loop", "alarm", "sqlite", "thread-local", "stdin-is-empty")],
    see("not-the-main-module", DEFAULT, "main-module-is-not-the-script"),
    see("argv", DEFAULT, "argv-is-a-list"),
    *[
        see(f"environment-{name}", DEFAULT, "environment", name)
        for name in (
            "AML_APP_ROOT",
            "AZUREML_ENTRY_SCRIPT",
            "AZUREML_MODEL_DIR",
            "WORKER_COUNT",
            "AML_APP_INSIGHTS_ENABLED",
            "AML_APP_INSIGHTS_KEY",
            "AZUREML_CONFIG_FILE",
            "AML_CORS_ORIGINS",
            "SCORING_TIMEOUT_MS",
            "SERVICE_NAME",
            "WORKER_TIMEOUT",
        )
    ],
    see("own-variable", ENV, "environment", "MY_OWN"),
    see("model-dir-of-environment-is-verbatim", ENV, "environment", "AZUREML_MODEL_DIR"),
    see("model-dir-flag-is-verbatim-and-wins", FLAGS, "environment", "AZUREML_MODEL_DIR"),
    see("insights-of-any-text-is-false", ENV, "environment", "AML_APP_INSIGHTS_ENABLED"),
    Case("settings/source-directory", request("POST"), SUBFOLDER),
]

VERSION_ON = service("plain.py", {"SERVER_VERSION_LOG_RESPONSE_ENABLED": "TRUE"})
VERSION_OFF = service("plain.py", {"SERVER_VERSION_LOG_RESPONSE_ENABLED": "false"})
VERSION_ODD = service("plain.py", {"SERVER_VERSION_LOG_RESPONSE_ENABLED": "notgood"})
VERSION_PRESET = service(
    "plain.py", {"SERVER_VERSION_LOG_RESPONSE_ENABLED": "false", "HTTP_X_MS_SERVER_VERSION": "mine/1"}
)
VERSION_PRESET_ON = service("plain.py", {"HTTP_X_MS_SERVER_VERSION": "mine/1"})

VERSION = [
    Case(f"settings/version-{name}", request("POST"), what)
    for name, what in [
        ("upper-case-true", VERSION_ON),
        ("false", VERSION_OFF),
        ("odd-text", VERSION_ODD),
        ("preset-while-off", VERSION_PRESET),
        ("preset-while-on", VERSION_PRESET_ON),
    ]
]

CONFIG = json.dumps(
    {
        "AZUREML_ENTRY_SCRIPT": "other.py",
        "SERVICE_NAME": "from file",
        "SERVICE_VERSION": "from file",
        "AML_CORS_ORIGINS": "http://file.test",
        "SCORING_TIMEOUT_MS": 250,
        "EXTRA_KEY": False,
        "SECOND_EXTRA": None,
    }
)
FILE = service("slow.py", {"SERVICE_NAME": "from environment"}, files={"config.json": CONFIG})
FILE_FLAG = service(
    "slow.py", args=("--config_file", "conf/mine.json"), files={"conf/mine.json": CONFIG, "config.json": "{}"}
)
FILE_VARIABLE = service("slow.py", {"AZUREML_CONFIG_FILE": "{root}/conf/mine.json"}, files={"conf/mine.json": CONFIG})
FILE_BESIDE = service(
    None,
    {"AML_APP_ROOT": "{root}/app"},
    ("--entry_script", "script/score.py"),
    {
        "script/score.py": "def init():\n    pass\ndef run(d):\n    return 1\n",
        "script/config.json": CONFIG,
        "app/x": "",
    },
)
FILE_NAMES_SCRIPT = service(
    None,
    args=("--config_file", "config.json"),
    files={"config.json": CONFIG, "other.py": "def init():\n    pass\ndef run(d):\n    return 'other'\n"},
)
FILE_EMPTY = service("slow.py", files={"config.json": ""})
CORS_FLAG_WINS = service(
    "slow.py", args=("--access_control_allow_origins", "http://flag.test"), files={"config.json": CONFIG}
)

CONFIG_CASES = [
    Case(f"settings/config-{name}-{view}", raw, what, json=view == "swagger")
    for name, what in [
        ("in-app-root", FILE),
        ("by-flag", FILE_FLAG),
        ("by-variable", FILE_VARIABLE),
        ("beside-script", FILE_BESIDE),
        ("names-the-script", FILE_NAMES_SCRIPT),
        ("empty-file", FILE_EMPTY),
        ("under-a-flag", CORS_FLAG_WINS),
    ]
    for view, raw in [
        ("swagger", request("GET", "/swagger.json")),
        ("cors", request("POST", body="0", headers=[("Origin", "http://file.test")])),
    ]
] + [Case("settings/config-timeout", request("POST", body="2"), FILE)]


@pytest.mark.parametrize("case", params(PROCESS))
def test_script_sees_the_same_process(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(VERSION))
def test_version_header_is_switched_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(CONFIG_CASES))
def test_config_file_is_read_alike(check_case, case):
    check_case(case)


def test_unknown_config_keys_are_warned_about(pairs):
    pair = pairs.get(FILE)
    for server in pair.both:
        assert "Found extra keys in the config file that are not supported by the server." in server.stdout
        assert re.search(r"^Extra keys = \[.+\]", server.stdout, re.MULTILINE)
    if not standing_in():  # the reference lists its own variables, never the file's unknown keys
        assert "EXTRA_KEY" in pair.ours.stdout


def test_entry_script_variable_is_the_script_s_real_path(pairs):
    for server in pairs.get(DEFAULT).both:
        answer = server.ask(json_request('["environment", "AZUREML_ENTRY_SCRIPT"]'))

        assert json.loads(answer.body) == str((server.root / "environment.py").resolve())
