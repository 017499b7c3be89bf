"""Where scripts are found, what they may import, drivers and signatures."""

from __future__ import annotations

import time

import pytest

from .compare import Case, params
from .servers import BOOT_SECONDS, Service, service, standing_in
from .wire import json_request

INIT = "def init():\n    pass\n"
RUN = "def run(data):\n    return data\n"


def files(sources: dict[str, str], *flags: str, env: dict[str, str] | None = None, cwd: str = ".") -> Service:
    return service(None, env, flags, sources, cwd=cwd)


def score(source: str) -> Service:
    return files({"score.py": source}, "--entry_script", "score.py")


SERVED = {
    "absolute": files({"a/score.py": INIT + RUN}, "--entry_script", "{root}/a/score.py"),
    "other-name": files({"my model-1.py": INIT + RUN}, "--entry_script", "my model-1.py"),
    "no-extension-clash": files({"json.py": INIT + RUN}, "--entry_script", "json.py", env={"AML_APP_ROOT": "{root}/x"}),
    "relative-to-cwd-not-app-root": files(
        {"w/score.py": INIT + RUN, "app/score.py": INIT + "def run(data):\n    return 'wrong'\n"},
        "--entry_script",
        "score.py",
        env={"AML_APP_ROOT": "{root}/app"},
        cwd="w",
    ),
    "default-main": files(
        {"main.py": INIT + "def run(data):\n    return 'main'\n", "c.json": '{"SERVICE_NAME": "x"}'},
        "--config_file",
        "c.json",
    ),
    "driver-module": files(
        {
            "driver.py": (
                "import score as driver_module\ncalls = []\ndef init():\n    driver_module.STATE = 'driver init'\n"
                "def run(data):\n    return 'driver run'\n"
            ),
            "score.py": "STATE = ''\n" + INIT + "def run(data):\n    return [STATE, data]\n",
        },
        "--entry_script",
        "driver.py",
    ),
    "driver-module-is-no-module": score("driver_module = 5\n" + INIT + RUN),
    "run-from-another-module": files(
        {"score.py": "from helper import init, run\n", "helper.py": INIT + RUN}, "--entry_script", "score.py"
    ),
    "run-is-a-lambda": score(INIT + "run = lambda data: [data]\n"),
    "run-is-a-callable-object": score(
        "class M:\n    def __call__(self, data):\n        return ['called', data]\nrun = M()\n" + INIT
    ),
    "keyword-only": score(INIT + "def run(*, data):\n    return data\n"),
    "second-parameter-with-default": score(INIT + "def run(data, k=3):\n    return [data, k]\n"),
    "second-parameter-without-default": score(INIT + "def run(data, k):\n    return [data, k]\n"),
    "headers-first": score(INIT + "def run(request_headers, data):\n    return [data, request_headers['Host']]\n"),
    "headers-with-default": score(INIT + "def run(data, request_headers=None):\n    return request_headers['Host']\n"),
    "import-and-read-beside": files(
        {
            "score.py": (
                "import pkg.deep\nmodel = None\ndef init():\n    global model\n    model = 'żółć'\n"
                "def run(d):\n    import helper\n    text = open('data.txt').read()\n"
                "    return [pkg.deep.X, helper.X, text, model, __file__.rpartition('/')[2], __name__ == '__main__']\n"
            ),
            "pkg/deep.py": "X = 1\n",
            "helper.py": "X = 2\n",
            "data.txt": "content",
        },
        "--entry_script",
        "score.py",
    ),
    "latin1-source": score("# -*- coding: latin-1 -*-\n" + INIT + "def run(data):\n    return len('é')\n"),
    "future-annotations": score(
        "from __future__ import annotations\n" + INIT + "def run(data: Missing) -> Gone:\n    return 1\n"
    ),
    "pickle-of-own-class": score(
        "import pickle\nclass M:\n    pass\n"
        + INIT
        + "def run(d):\n    return type(pickle.loads(pickle.dumps(M()))).__name__\n"
    ),
    "dataclass-with-text-annotations": score(
        "from __future__ import annotations\nimport dataclasses, typing\n@dataclasses.dataclass\nclass P:\n"
        "    x: int\n    y: typing.ClassVar[int] = 1\n" + INIT + "def run(d):\n    return P(2).x\n"
    ),
    "helper-named-config": files(
        {"score.py": "import config\n" + INIT + "def run(d):\n    return config.X\n", "config.py": "X = 'mine'\n"},
        "--entry_script",
        "score.py",
    ),
    "helper-named-utils": files(
        {"score.py": "import utils\n" + INIT + "def run(d):\n    return utils.X\n", "utils.py": "X = 'mine'\n"},
        "--entry_script",
        "score.py",
    ),
    "beside-the-script-outside-app-root": files(
        {"s/score.py": "import helper\n" + INIT + "def run(d):\n    return helper.X\n", "s/helper.py": "X = 3\n"},
        "--entry_script",
        "s/score.py",
    ),
    "named-by-the-environment": files({"score.py": INIT + RUN}, env={"AZUREML_ENTRY_SCRIPT": "score.py"}),
    "contrib-module-imported-first": score(
        "import azureml.contrib.services.aml_response as r\n"
        + INIT
        + "def run(d):\n    return r.AMLResponse.__name__\n"
    ),
    "unreadable-swagger-file": files({"score.py": INIT + RUN, "swagger3.json": "{"}, "--entry_script", "score.py"),
    "rawhttp-on-a-helper": score(
        "from azureml.contrib.services.aml_request import rawhttp\n@rawhttp\ndef helper():\n    pass\n"
        + INIT
        + "def run(data):\n    return type(data).__name__\n"
    ),
}
# Scripts that only ours serves, and its answers.
OURS = {
    "dataclass-with-text-annotations": b"2",
    "pickle-of-own-class": b'"M"',
    "helper-named-config": b'"mine"',
    "helper-named-utils": b'"mine"',
    "beside-the-script-outside-app-root": b"3",
    "named-by-the-environment": b'"[1]"',
    "contrib-module-imported-first": b'"AMLResponse"',
    "unreadable-swagger-file": b'"[1]"',
}

CASES = [Case(f"loading/{name}", json_request("[1]"), what) for name, what in SERVED.items() if name not in OURS]


@pytest.mark.parametrize("case", params(CASES))
def test_script_loads_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("name", OURS)
def test_script_that_the_reference_cannot_serve(start, name):
    """E: each of these starts and answers with ours; the reference ends at boot, or answers 500."""
    pair = start(SERVED[name], ready=False)
    deadline = time.monotonic() + BOOT_SECONDS
    if pair.reference.wait_ready(deadline):
        assert pair.reference.ask(json_request("[1]")).status == 500
    else:
        assert pair.reference.wait_exit() in (1, 3)
    if not standing_in():
        assert pair.ours.wait_ready(deadline), pair.ours.describe()
        assert pair.ours.ask(json_request("[1]")).body == OURS[name]
