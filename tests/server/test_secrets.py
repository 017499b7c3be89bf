"""Where keys must not be found: in anything that the server says in its whole life, and in what scripts can look at."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from scoring_runtime.deploy.services.tokens import issue
from scoring_runtime.settings import ROWS, Settings
from tests.serving import Server, serving, until

PRIMARY, SECONDARY, TOKEN_KEY = "primary-secret-0123456789", "secondary-secret-0123456789", "token-secret-" * 3
SECRETS = (PRIMARY, SECONDARY, TOKEN_KEY)

NOSY = """
import logging, os, sys
from scoring_runtime.api.rawhttp import rawhttp
logging.getLogger().setLevel(logging.DEBUG)
def init():
    print("init", os.environ)
@rawhttp
def run(request):
    what = request.args["what"]
    if what == "raise":
        raise RuntimeError(f"broken: {request.headers} {os.environ}")
    if what == "exit":
        os._exit(7)
    files = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
            if "memfd" in target:
                files[target] = os.pread(int(number), 10000, 0).decode("latin-1")
        except OSError:
            pass
    blocks = [open(f"/proc/{pid}/environ", errors="replace").read() for pid in (os.getpid(), os.getppid())]
    frames, frame = [], sys._getframe()
    while frame:
        frames.append(repr({name: repr(value) for name, value in frame.f_locals.items() if name != "frames"}))
        frame = frame.f_back
    return {"environ": dict(os.environ), "proc": blocks, "files": files, "frames": frames, "raw": str(request.headers)}
"""


def leaks(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_whole_life_tells_nobody_a_key(preload: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    environ = {
        "SCORING_AUTH": "key",
        **dict(zip(("SCORING_PRIMARY_KEY", "SCORING_SECONDARY_KEY", "SCORING_TOKEN_KEY"), SECRETS, strict=True)),
        "SCORING_KEYS_DIR": str(keys),
        "AZUREML_LOG_LEVEL": "DEBUG",
        "WORKER_PRELOAD": preload,
    }
    told: list[str] = []
    with serving(NOSY, tmp_path, **environ) as server:

        def ask(path: str, key: str, method: str = "POST") -> int:
            answer = server.client.request(method, path, headers={"Authorization": f"Bearer {key}"})
            told.append(f"{answer.headers} {answer.text}")
            return answer.status_code

        statuses = [ask(f"/score?what={what}", PRIMARY) for what in ("look", "raise", "exit")]
        server.wait_ready()
        statuses += [ask("/score?what=look", SECONDARY), ask("/score?what=look", PRIMARY[:-1])]
        statuses += [ask(path, SECONDARY, "GET") for path in ("/info", "/metrics", "/swagger.json", "/nowhere", "/")]
        (keys / "primaryKey").write_text(f"{PRIMARY} {SECONDARY}")  # broken, with secrets in it
        until(lambda: "the old ones stay" in server.out())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.out().count("ready for serving traffic") >= 3)
        statuses.append(ask("/score?what=look", PRIMARY))
        assert server.stop() == 0

    assert statuses == [200, 500, 502, 200, 401, 200, 200, 200, 404, 200, 200]
    assert leaks(server.out() + server.err()) == []
    assert [leaks(text) for text in told] == [[]] * len(told)
    assert "SCORING_AUTH" in told[0]  # it did look at the environment


@pytest.mark.parametrize("environ", [
    {"SCORING_AUTH": "key", "SCORING_PRIMARY_KEY": PRIMARY, "SCORING_SECONDARY_KEY": "hunter2"},
    {"SCORING_AUTH": "token", "SCORING_PRIMARY_KEY": PRIMARY, "SCORING_TOKEN_KEY": "hunter2"},
    {"SCORING_AUTH": "key", "SCORING_PRIMARY_KEY": PRIMARY, "WORKER_COUNT": "none"},
    {"SCORING_AUTH": "key", "SCORING_PRIMARY_KEY": PRIMARY, "SCORING_TLS_CERT": PRIMARY[:3]},
])  # fmt: skip
def test_a_boot_that_fails_tells_nobody_a_key(environ: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(NOSY)
    server = Server(script, folder=tmp_path, **environ)
    try:
        assert server.process.wait(20) in (1, 3)
        assert leaks(server.out() + server.err()) == []
        assert "hunter2" not in server.out() + server.err()
    finally:
        server.end()


def test_tokens_are_told_to_nobody(tmp_path: Path) -> None:
    environ = {"SCORING_AUTH": "token", "SCORING_TOKEN_KEY": TOKEN_KEY, "SERVICE_NAME": "flowers"}
    good, bad = (issue(key, "flowers", 1.7e9, 9e9).token for key in (TOKEN_KEY, TOKEN_KEY[::-1]))
    with serving(NOSY, tmp_path, **environ) as server:
        answers = [
            server.client.post("/score?what=look", headers={"Authorization": f"Bearer {token}"})
            for token in (good, bad)
        ]
        assert [answer.status_code for answer in answers] == [200, 401]
        server.stop()
        said = server.out() + server.err() + "".join(answer.text for answer in answers)

    assert leaks(said) == []
    assert [piece for piece in (good, bad) if piece in said] == []


def test_settings_hide_their_secrets_from_people_and_show_them_to_the_server() -> None:
    values = {row.name: f"secret-of-{row.name}" for row in ROWS if row.secret}
    settings = Settings(values)

    assert [value for value in values.values() if value in repr(settings) + json.dumps(settings.public())] == []
    assert Settings.load(settings.to_environ(), cwd="/") == settings.replace(app_root="/")
