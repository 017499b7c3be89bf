"""Keys and tokens: who may call, how that changes without a restart, and what those hear who may not."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from scoring_runtime.deploy.services.tokens import issue
from scoring_runtime.errors import DeployError, MissingPackage, RequestError, SettingsError
from scoring_runtime.server.auth import KNOWN_TOKENS, KeyGuard, TokenGuard, choose_guard
from scoring_runtime.server.keys import Keys, KeySource, Vault
from scoring_runtime.settings import Settings
from tests.serving import Server, free_port, raw_exchange, serving, until

PRIMARY, SECONDARY = "primary-key-of-this-test", "secondary+key/of=this.test"
TOKEN_KEY = "the-token-key-of-this-test-is-long-enough"
ECHO = "def init(): pass\ndef run(raw_data): return raw_data"
KEYED = {"SCORING_AUTH": "key", "SCORING_PRIMARY_KEY": PRIMARY, "SCORING_SECONDARY_KEY": SECONDARY}
RAW_SCRIPT = """
from scoring_runtime.api.rawhttp import rawhttp
def init(): pass
@rawhttp
def run(request): return {"method": request.method, "headers": dict(request.headers)}
"""


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def token_for(audience: str = "flowers", *, key: str = TOKEN_KEY, ago: float = 0, **options: Any) -> str:
    return issue(key, audience, time.time() - ago, **options).token


def shown(header: str) -> dict[bytes, bytes]:
    return {b"authorization": header.encode()}


def reason(refusal: RequestError | None) -> str:
    return str(refusal) if refusal is not None else "welcome"


# one guard


@pytest.mark.parametrize(
    "header", [f"Bearer {PRIMARY}", f"Bearer {SECONDARY}", f"bearer  {PRIMARY}", f"BEARER {PRIMARY} "]
)
def test_either_key_opens_however_bearer_is_spelled(header: str) -> None:
    assert KeyGuard(Keys(PRIMARY, SECONDARY)).refusal("/score", shown(header)) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {PRIMARY}x", "The key is not one of this service's keys."),
        (f"Bearer {PRIMARY},Bearer {PRIMARY}", "The key is not one of this service's keys."),  # two headers
        ("Bearer", "This service needs a key: send the header `Authorization: Bearer <key>`."),
        ("Bearer ", "This service needs a key: send the header `Authorization: Bearer <key>`."),
        (f"Basic {PRIMARY}", "This service needs a key: send the header `Authorization: Bearer <key>`."),
        (PRIMARY, "This service needs a key: send the header `Authorization: Bearer <key>`."),
        ("", "This service needs a key: send the header `Authorization: Bearer <key>`."),
    ],
)
def test_anything_else_does_not(header: str, expected: str) -> None:
    assert reason(KeyGuard(Keys(PRIMARY)).refusal("/score", shown(header))) == expected


def test_an_absent_secondary_key_is_not_an_empty_one() -> None:
    guard = KeyGuard(Keys(PRIMARY))

    assert reason(guard.refusal("/score", shown("Bearer "))) != "welcome"
    assert reason(guard.refusal("/score", {})) != "welcome"


@pytest.mark.parametrize("guard", [KeyGuard(Keys(PRIMARY)), TokenGuard(Keys(token=TOKEN_KEY), "flowers")])
def test_probes_need_nothing(guard: KeyGuard | TokenGuard) -> None:
    paths = ("/", "/livez", "/readyz", "/score", "/metrics", "/info", "/swagger.json", "/elsewhere")

    assert [path for path in paths if guard.refusal(path, {}) is None] == ["/", "/livez", "/readyz"]


def unsigned() -> str:
    return jwt.encode({"aud": "flowers", "exp": time.time() + 60}, None, algorithm="none")


def signed(algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode(claims, TOKEN_KEY * 2 if algorithm == "HS512" else TOKEN_KEY, algorithm=algorithm)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: token_for(), "welcome"),
        (lambda: token_for(ago=12 * 3600 + 5), "welcome"),  # clocks differ
        (lambda: token_for(ago=12 * 3600 + 60), "The token has expired. Get a new one."),
        (lambda: token_for(ago=-60), "The token is not valid yet."),
        (lambda: token_for("roses"), "The token is for another service."),
        (lambda: token_for(key="another-key-that-is-also-long-enough"), "The token is not one of this service's."),
        (lambda: unsigned(), "The token is not one of this service's."),
        (lambda: signed("HS512", aud="flowers", exp=9e9), "The token is not one of this service's."),
        (lambda: signed(aud="flowers"), "The token is not one of this service's."),  # it would be good for ever
        (lambda: signed(exp=9e9), "The token is not one of this service's."),
        (lambda: "x", "The token is not one of this service's."),
        (lambda: "x" * 9000, "The token is not one of this service's."),
    ],
)  # fmt: skip
def test_a_token_counts_for_its_service_in_its_time(make: Any, expected: str) -> None:
    guard = TokenGuard(Keys(token=TOKEN_KEY), "flowers")

    assert reason(guard.refusal("/score", shown(f"Bearer {make()}"))) == expected


def test_a_remembered_token_expires_all_the_same() -> None:
    guard = TokenGuard(Keys(token=TOKEN_KEY), "flowers")
    header = shown(f"Bearer {token_for(lifetime=60)}")
    assert guard.refusal("/score", header) is None
    (remembered,) = guard.known
    assert guard.known[remembered] == pytest.approx(time.time() + 70, abs=2)

    guard.known[remembered] = time.time() - 1
    guard.key = "another-key, so that it is looked at again"

    assert reason(guard.refusal("/score", header)) != "welcome"


def test_a_new_key_forgets_the_tokens_of_the_old_one() -> None:
    guard = TokenGuard(Keys(token=TOKEN_KEY), "flowers")
    header = shown(f"Bearer {token_for()}")
    assert guard.refusal("/score", header) is None

    guard.change(Keys(token=TOKEN_KEY[::-1]))

    assert reason(guard.refusal("/score", header)) == "The token is not one of this service's."


def test_remembered_tokens_are_bounded() -> None:
    guard = TokenGuard(Keys(token=TOKEN_KEY), "flowers")
    for number in range(KNOWN_TOKENS):
        guard.remember(b"%d" % number, time.time() + (60 if number != 7 else -1))

    guard.remember(b"more", time.time() + 60)
    guard.remember(b"and more", time.time() + 60)

    assert len(guard.known) == KNOWN_TOKENS
    assert {b"0", b"7"} & guard.known.keys() == set()  # the oldest one and the expired one


def test_a_token_says_when_to_get_the_next_one() -> None:
    token = issue(TOKEN_KEY, "flowers", 1000)

    assert (token.refresh_after, token.expires) == (1000 + 8 * 3600, 1000 + 12 * 3600)
    assert jwt.decode(token.token, options={"verify_signature": False}) == {
        "aud": "flowers", "iat": 1000, "nbf": 1000, "exp": token.expires, "refresh_after": token.refresh_after,
    }  # fmt: skip
    assert token.token not in repr(token)


def test_what_is_missing_for_tokens_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeployError, match="The token key of flowers has 5 characters, and 32 is the least"):
        issue("short", "flowers", 0)
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(MissingPackage, match=r"pip install 'scoring-runtime\[token\]'"):
        issue(TOKEN_KEY, "flowers", 0)
    with pytest.raises(SettingsError, match=r"Install it: pip install 'scoring-runtime\[token\]'"):
        TokenGuard(Keys(token=TOKEN_KEY), "flowers")


def test_without_auth_there_is_no_guard() -> None:
    assert choose_guard(Settings({}), Keys()) is None


# where keys come from


def source(folder: Path | None = None, auth: str = "key", **given: str) -> KeySource:
    return KeySource(Settings({"auth": auth, "keys_dir": str(folder) if folder else None}), Vault(Keys(**given)))


def put(folder: Path, **files: str) -> None:
    """Each file is replaced in one step."""
    for name, text in files.items():
        (folder / "new").write_text(text)
        (folder / "new").chmod(0o600)
        os.replace(folder / "new", folder / name)


def test_a_file_wins_over_a_variable(tmp_path: Path) -> None:
    put(tmp_path, primaryKey=f"{PRIMARY}\n")

    assert source(tmp_path, primary="x" * 20, secondary=SECONDARY).read() == Keys(PRIMARY, SECONDARY)


@pytest.mark.parametrize(
    ("auth", "files", "message"),
    [
        ("key", {}, r"primaryKey \(or SCORING_PRIMARY_KEY\): expected a key of at least 16 .* got None. Make one"),
        ("key", {"primaryKey": "hunter2"}, r"got '7 characters'"),
        ("key", {"primaryKey": PRIMARY, "secondaryKey": "hunter2"}, r"secondaryKey .* got '7 characters'"),
        ("key", {"primaryKey": "a key with some spaces in it"}, r"got 'other characters'"),
        ("key", {"primaryKey": "a-kéy-with-an-accent-in-it"}, r"got 'other bytes'"),
        ("token", {"primaryKey": PRIMARY}, r"tokenKey \(or SCORING_TOKEN_KEY\): expected a key of at least 32"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_is_refused_without_being_shown(
    auth: str, files: dict[str, str], message: str, tmp_path: Path
) -> None:
    put(tmp_path, **files)

    with pytest.raises(SettingsError, match=message) as caught:
        source(tmp_path, auth).read()

    assert not any(text in str(caught.value) for text in files.values())


def test_a_folder_that_is_not_there_or_not_readable_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SCORING_KEYS_DIR: expected a folder with key files"):
        source(tmp_path / "absent").read()
    (tmp_path / "primaryKey").mkdir()
    with pytest.raises(SettingsError, match=r"primaryKey: expected a file that this process can read"):
        source(tmp_path).read()


def test_what_is_not_needed_is_not_looked_for(tmp_path: Path) -> None:
    assert source(tmp_path / "absent", auth="none").refresh() is None


def test_a_key_of_the_same_length_and_time_is_another_key(tmp_path: Path) -> None:
    put(tmp_path, primaryKey=PRIMARY)
    file = tmp_path / "primaryKey"
    os.utime(file, (1000, 1000))
    keys = source(tmp_path)
    keys.read()

    file.write_text(PRIMARY[::-1])
    os.utime(file, (1000, 1000))

    assert keys.refresh() == Keys(PRIMARY[::-1])
    assert keys.refresh() is None


def test_keys_that_others_may_read_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, primaryKey=PRIMARY, secondaryKey=SECONDARY)
    (tmp_path / "primaryKey").chmod(0o644)
    logging.getLogger("azmlinfsrv").propagate = True

    source(tmp_path).warn()

    assert [record.getMessage() for record in caplog.records] == [
        f"Others may read the key in {tmp_path}/primaryKey. Mend it: chmod 600 {tmp_path}/primaryKey"
    ]


def test_keys_do_not_show_in_a_repr() -> None:
    assert repr(Keys(PRIMARY, token=TOKEN_KEY)) == str(Keys(PRIMARY, token=TOKEN_KEY)) == "<Keys primary, token>"


# a whole server


def test_a_key_opens_everything_but_probes_need_none(tmp_path: Path) -> None:
    paths = ("/", "/livez", "/readyz", "/metrics", "/info", "/swagger.json", "/elsewhere")
    with serving(ECHO, tmp_path, **KEYED) as server:
        answers = {
            path: tuple(server.client.get(path, headers=h).status_code for h in ({}, bearer(PRIMARY))) for path in paths
        }
        scores = [server.client.post("/score", content="{}", headers=bearer(k)).json() for k in (PRIMARY, SECONDARY)]

        assert answers == {
            **dict.fromkeys(("/", "/livez", "/readyz"), (200, 200)),
            **dict.fromkeys(("/metrics", "/info", "/swagger.json"), (401, 200)),
            "/elsewhere": (401, 404),
        }
        assert scores == ["{}", "{}"]


def test_a_refusal_says_why_in_json_and_by_its_header(tmp_path: Path) -> None:
    with serving(ECHO, tmp_path, **KEYED, AML_CORS_ORIGINS="http://page") as server:
        none = server.client.post("/score", content="{}", headers={"Origin": "http://page"})
        wrong = server.client.post("/score", content="{}", headers=bearer("guessed"))

        assert (none.status_code, none.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert none.json() == {"message": "This service needs a key: send the header `Authorization: Bearer <key>`."}
        assert none.headers["Access-Control-Allow-Origin"] == "http://page"
        assert re.fullmatch(r"[-0-9a-f]{36}", none.headers["x-request-id"])
        assert wrong.status_code == 401
        assert wrong.json() == {"message": "The key is not one of this service's keys."}
        assert wrong.headers["WWW-Authenticate"] == (
            'Bearer error="invalid_token", error_description="The key is not known"'
        )
        until(lambda: server.out().count('"POST /score HTTP/1.1" 401') == 2)
        metrics = server.client.get("/metrics", headers=bearer(PRIMARY)).text
        assert 'scoring_requests_total{status="401"} 2\n' in metrics


def test_a_preflight_is_answered_without_a_key_and_without_the_script(tmp_path: Path) -> None:
    asks = {
        "Origin": "http://page",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "Authorization",
    }
    with serving(RAW_SCRIPT, tmp_path, **KEYED, AML_CORS_ORIGINS="http://page") as server:
        preflight = server.client.options("/score", headers=asks)
        again = server.client.options("/score", headers=asks)
        document = server.client.options("/swagger.json", headers=asks)
        plain = server.client.options("/score", headers={"Origin": "http://page"})
        keyed = server.client.options("/score", headers={**asks, **bearer(PRIMARY)})

        for answer in (preflight, again, document):
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["Access-Control-Allow-Headers"] == "Authorization"
        assert plain.status_code == 401
        assert keyed.json()["method"] == "OPTIONS"


def test_scripts_do_not_see_the_callers_key(tmp_path: Path) -> None:
    with serving(RAW_SCRIPT, tmp_path, **KEYED) as server:
        seen = server.client.post("/score", content="{}", headers={**bearer(PRIMARY), "X-Other": "yes"}).json()
        both = [("Authorization", f"Bearer {PRIMARY}"), ("Authorization", "Basic x")]
        twice = server.client.post("/score", content="{}", headers=both)

        assert "yes" in seen["headers"].values()
        assert PRIMARY not in json.dumps(seen)
        assert twice.status_code == 401


def test_a_refused_request_leaves_its_connection_in_order(tmp_path: Path) -> None:
    """A body that was refused is not taken for the next request."""
    refused = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\n"
    body = b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n"
    good = b"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 2\r\n%s\r\n{}"
    last = good % (PRIMARY.encode(), b"Connection: close\r\n")
    with serving(ECHO, tmp_path, **KEYED) as server:
        answers = raw_exchange(server.port, (refused + body[:34]) * 2 + last)
        asked_first = first_answer(server.port, refused.replace(b"Host", b"Expect: 100-continue\r\nHost"))
        endless = first_answer(server.port, refused.replace(b"Content-Length: 34", b"Transfer-Encoding: chunked"))

        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"401", b"401", b"200"]
        assert b"Connection: close" not in answers.partition(b"HTTP/1.1 200")[0]
        for answer in (asked_first, endless):
            assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"401"]
            assert b"Connection: close\r\n" in answer


def first_answer(port: int, data: bytes) -> bytes:
    """What comes back to a request whose body does not follow."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(data)
        received = b""
        while not received.endswith(b"}"):
            piece = sock.recv(4096)
            assert piece, received
            received += piece
        return received


def test_tokens_open_a_service_that_wants_tokens(tmp_path: Path) -> None:
    environ = {"SCORING_AUTH": "Token", "SCORING_TOKEN_KEY": TOKEN_KEY, "SERVICE_NAME": "flowers"}
    with serving(ECHO, tmp_path, **environ) as server:
        good = bearer(token_for())
        expired = server.client.post("/score", content="{}", headers=bearer(token_for(ago=13 * 3600)))

        assert [server.client.post("/score", content="{}", headers=good).status_code for _ in range(2)] == [200, 200]
        assert server.client.post("/score", content="{}", headers=bearer(token_for("roses"))).status_code == 401
        assert (expired.status_code, expired.json()) == (401, {"message": "The token has expired. Get a new one."})
        assert "The token has expired" in expired.headers["WWW-Authenticate"]


class Caller:
    """Asks with the keys that it knows, as clients do: on 401 with the other one."""

    def __init__(self, server: Server, *keys: str) -> None:
        self.keys = list(keys)
        self.stopped = threading.Event()
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.server = server
        self.thread = threading.Thread(target=self.ask)
        self.thread.start()

    def ask(self) -> None:
        with httpx.Client(base_url=self.server.url, timeout=20, trust_env=False) as client:
            while not self.stopped.is_set():
                for key in self.keys:
                    status = client.post("/score", content="{}", headers=bearer(key)).status_code
                    (self.accepted if status == 200 else self.refused).append(key)

    def sees(self, accepted: set[str], refused: set[str]) -> bool:
        a, r = len(self.accepted), len(self.refused)
        until(lambda: len(self.accepted) + len(self.refused) > a + r + 8 * len(self.keys))
        return set(self.accepted[a + 2 :]) == accepted and set(self.refused[r + 2 :]) == refused


@contextmanager
def calling(server: Server, *keys: str) -> Iterator[Caller]:
    caller = Caller(server, *keys)
    try:
        yield caller
    finally:
        caller.stopped.set()
        caller.thread.join(20)


def test_keys_change_without_a_restart_and_a_client_that_follows_loses_nothing(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    new = "a-new-primary-key-for-the-test"
    put(keys, primaryKey=PRIMARY, secondaryKey=SECONDARY)
    with (
        serving(ECHO, tmp_path, SCORING_AUTH="key", SCORING_KEYS_DIR=str(keys)) as server,
        calling(server, SECONDARY) as steady,
        calling(server, PRIMARY, new) as curious,
    ):
        assert curious.sees({PRIMARY}, {new})

        put(keys, primaryKey=new)

        until(lambda: curious.sees({new}, {PRIMARY}), seconds=5)
        assert "The keys have changed: new ones are in use" in server.out()

        put(keys, primaryKey="short")

        until(lambda: "The keys have changed, but not to something usable; the old ones stay." in server.out())
        assert curious.sees({new}, {PRIMARY})
        assert steady.refused == []
        assert len(server.workers()) == 1


@pytest.mark.parametrize(("path", "status"), [("/swagger.json", 200), ("/metrics", 200), ("/unknown", 404)])
def test_a_request_that_was_refused_and_repeated_with_a_key_that_counts_by_now_is_answered(
    tmp_path: Path, path: str, status: int
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    put(keys, primaryKey=PRIMARY)
    with serving(ECHO, tmp_path, SCORING_AUTH="key", SCORING_KEYS_DIR=str(keys)) as server:
        ask = bearer(SECONDARY)
        assert server.client.get(path, headers=ask).status_code == 401

        put(keys, primaryKey=SECONDARY)

        answer = until(lambda: (got := server.client.get(path, headers=ask)).status_code != 401 and got)
        assert (answer.status_code, answer.text == "Live") == (status, False)


def test_a_mounted_kubernetes_secret_is_followed(tmp_path: Path) -> None:
    """The kubelet writes a new folder and swings one link to it; the files are links through that."""
    mount = tmp_path / "mount"
    for number, key in enumerate((PRIMARY, SECONDARY)):
        (mount / f"..{number}").mkdir(parents=True)
        (mount / f"..{number}" / "primaryKey").write_text(key)
    (mount / "..data").symlink_to("..0")
    (mount / "primaryKey").symlink_to("..data/primaryKey")
    with serving(ECHO, tmp_path, SCORING_AUTH="key", SCORING_KEYS_DIR=str(mount)) as server:
        assert server.client.get("/metrics", headers=bearer(PRIMARY)).status_code == 200

        (mount / "..tmp").symlink_to("..1")
        os.replace(mount / "..tmp", mount / "..data")

        until(lambda: server.client.get("/metrics", headers=bearer(SECONDARY)).status_code == 200, seconds=5)
        assert server.client.get("/metrics", headers=bearer(PRIMARY)).status_code == 401


def test_the_health_port_beside_keys_is_for_probes_and_metrics(tmp_path: Path) -> None:
    port = free_port()
    environ = {**KEYED, "SEPERATE_HEALTH_ENDPOINT": "true", "SCORING_HEALTH_PORT": str(port)}
    with serving(ECHO, tmp_path, **environ) as server, httpx.Client(base_url=f"http://127.0.0.1:{port}") as probe:
        answers = {path: probe.get(path).status_code for path in ("/", "/livez", "/readyz", "/metrics", "/info")}
        score = probe.post("/score", content="{}", headers=bearer(PRIMARY))

        assert answers == dict.fromkeys(answers, 200)
        assert score.status_code == 421
        assert score.json() == {"message": f"This port is for probes. The service is on port {server.port}."}


@pytest.mark.parametrize("environ", [{"SCORING_AUTH": "key"}, {"SCORING_AUTH": "token"}, {"SCORING_AUTH": "maybe"}])
def test_the_server_does_not_start_without_what_its_auth_needs(environ: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(ECHO)
    server = Server(script, folder=tmp_path, **environ)
    try:
        assert server.process.wait(20) == 3
        assert "SettingsError: SCORING_" in server.err()
    finally:
        server.end()
