"""HTTPS: what is spoken, what is refused, and certificates that change under way."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scoring_runtime.errors import SettingsError
from scoring_runtime.server.tls import Certificate, not_after
from scoring_runtime.settings import Settings
from tests.certificates import Pair, make_pair, openssl, put_in_place
from tests.serving import Server, free_port, until

WORK = """
import json, time
def init(): pass
def run(raw_data):
    value = json.loads(raw_data)
    time.sleep(value.get("for", 0))
    return len(raw_data)
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """one and two, each signed by itself; chained, by an intermediate authority that the root signed."""
    folder = tmp_path_factory.mktemp("certificates")
    made = {name: make_pair(folder, name) for name in ("one", "two")}
    made["root"] = make_pair(folder, "root", authority=True)
    made["between"] = make_pair(folder, "between", ca=made["root"], authority=True)
    made["chained"] = make_pair(folder, "chained", ca=made["between"])
    made["ending"] = make_pair(folder, "ending", days=3)
    return made


def own(pair: Pair, folder: Path) -> Pair:
    """A copy that a test may change."""
    mine = Pair(folder / "server.pem", folder / "server.key")
    put_in_place(pair, mine)
    return mine


def trusting(*authorities: Pair) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.verify_flags &= (
        ~ssl.VERIFY_X509_STRICT
    )  # Python 3.13 wants more of an authority than openssl gives by itself
    for one in authorities:
        context.load_verify_locations(one.cert)
    return context


@contextmanager
def serving(pair: Pair, folder: Path, *trusted: Pair, **environ: str) -> Iterator[Server]:
    script = folder / "score.py"
    script.write_text(WORK)
    server = Server(script, folder=folder, **pair.environ, **environ)
    server.url = server.url.replace("http:", "https:")
    server.client = httpx.Client(
        base_url=server.url, timeout=20, trust_env=False, verify=trusting(*(trusted or (pair,)))
    )
    try:
        yield server.wait_ready()
    finally:
        server.end()


def shown(port: int) -> str:
    """The name in the certificate that a new connection sees."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
    return openssl("x509", "-noout", "-subject", input=pem.encode()).strip().rpartition("= ")[2].rpartition("=")[2]


def test_scores_and_probes_over_https_with_a_whole_chain(pairs: dict[str, Pair], tmp_path: Path) -> None:
    with serving(pairs["chained"], tmp_path, pairs["root"], SCORING_AUTH="key", SCORING_PRIMARY_KEY="k" * 20) as server:
        big = b'{"text": "%s"}' % (b"x" * 3_000_000)
        keyed = {"Authorization": f"Bearer {'k' * 20}"}

        assert server.client.get("/readyz").text == "Ready"
        assert server.client.post("/score", content=big, headers=keyed).json() == len(big)
        assert server.client.post("/score", content=big).status_code == 401
        assert server.client.get("/swagger.json", headers=keyed).status_code == 200
        assert server.client.get("/swagger.json", headers=keyed).json()["swagger"] == "2.0"
        assert "TLS certificate: " in server.out()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("-tls1_3",), "New, TLSv1.3, "),
        (("-tls1_2",), "Protocol : TLSv1.2"),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "Cipher : ECDHE-ECDSA-AES128-GCM-SHA256"),
        (("-alpn", "h2,http/1.1"), "ALPN protocol: http/1.1"),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "New, (NONE), Cipher is (NONE)"),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), "New, (NONE), Cipher is (NONE)"),
    ],
    ids=["1.3", "1.2", "cipher", "alpn", "1.1", "old cipher"],
)
def test_modern_tls_and_nothing_else(
    flags: tuple[str, ...], expected: str, one_server: Server, pairs: dict[str, Pair]
) -> None:
    told = openssl("s_client", "-connect", f"127.0.0.1:{one_server.port}", "-CAfile", pairs["one"].cert, *flags)

    assert expected in " ".join(told.split())


@pytest.fixture(scope="module")
def one_server(pairs: dict[str, Pair], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(pairs["one"], tmp_path_factory.mktemp("server"), SCORING_HEADER_TIMEOUT_MS="2000") as server:
        yield server


def test_who_speaks_no_tls_is_left_alone_and_disturbs_nobody(one_server: Server) -> None:
    """Garbage, plain HTTP, and those who say nothing: connections end, and the service goes on."""
    address = ("127.0.0.1", one_server.port)
    with socket.create_connection(address, timeout=20) as silent:
        for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 100, b"\0" * 5000):
            with socket.create_connection(address, timeout=20) as sock:
                sock.sendall(garbage)
                try:
                    while sock.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        assert one_server.client.get("/").text == "Healthy"
        assert silent.recv(1) == b""  # the handshake's time is over
    assert "Traceback" not in one_server.err() + one_server.out()


def test_health_answers_over_tls_while_run_works(pairs: dict[str, Pair], tmp_path: Path) -> None:
    with serving(pairs["one"], tmp_path) as server:
        thread = threading.Thread(target=server.post, args=({"for": 1.5},))
        thread.start()
        with httpx.Client(base_url=server.url, verify=trusting(pairs["one"])) as probe:
            until(lambda: "scoring_requests_in_flight 1" in probe.get("/metrics").text)
            times = []
            for _ in range(20):
                began = time.monotonic()
                assert probe.get("/livez").status_code == 200
                times.append(time.monotonic() - began)
        thread.join()
        assert sorted(times)[len(times) // 2] < 0.1


def test_sigterm_drains_over_tls(pairs: dict[str, Pair], tmp_path: Path) -> None:
    with serving(pairs["one"], tmp_path) as server:
        answers: list[object] = []
        asked = threading.Thread(target=lambda: answers.append(server.post({"for": 0.7}).json()))
        asked.start()
        with httpx.Client(base_url=server.url, verify=trusting(pairs["one"])) as probe:
            until(lambda: "scoring_requests_in_flight 1" in probe.get("/metrics").text)

        assert server.stop() == 0

        asked.join()
        assert answers == [12]


def test_a_new_certificate_is_shown_to_new_connections_and_a_broken_one_to_nobody(
    pairs: dict[str, Pair], tmp_path: Path
) -> None:
    mine = own(pairs["one"], tmp_path)
    with serving(mine, tmp_path, pairs["one"], pairs["two"]) as server:
        assert shown(server.port) == "one"
        with trusting(pairs["one"]).wrap_socket(
            socket.create_connection(("127.0.0.1", server.port), timeout=20), server_hostname="localhost"
        ) as old:
            put_in_place(pairs["two"], mine)
            until(lambda: shown(server.port) == "two", seconds=5)

            old.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := old.recv(4096):
                answer += piece
            assert answer.endswith(b"Healthy")

        put_in_place(Pair(pairs["one"].cert, pairs["two"].key), mine)

        until(
            lambda: (
                "not to something usable; the old one stays. SCORING_TLS_KEY: expected the private key" in server.out()
            )
        )
        assert shown(server.port) == "two"
        assert server.client.get("/").text == "Healthy"


def test_the_health_port_stays_plain_and_takes_no_scores(pairs: dict[str, Pair], tmp_path: Path) -> None:
    port = free_port()
    environ = {"SEPERATE_HEALTH_ENDPOINT": "true", "SCORING_HEALTH_PORT": str(port)}
    with serving(pairs["one"], tmp_path, **environ), httpx.Client(base_url=f"http://127.0.0.1:{port}") as probe:
        assert (probe.get("/").text, probe.get("/metrics").status_code) == ("Healthy", 200)
        assert probe.post("/score", content="{}").status_code == 421


# the pair of files


def certificate(pair: Pair, **changes: Path | None) -> Certificate:
    values = {"tls_cert": pair.cert, "tls_key": pair.key, **changes}
    return Certificate(Settings({name: str(path) if path else None for name, path in values.items()}))


def test_what_is_wrong_with_the_files_is_named(pairs: dict[str, Pair], tmp_path: Path) -> None:
    pair = own(pairs["one"], tmp_path)
    locked, text = tmp_path / "locked.key", tmp_path / "text.pem"
    openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", locked)
    text.write_text("no certificate")
    wrong = {
        "SCORING_TLS_CERT: expected a PEM file, as SCORING_TLS_KEY is set, got None": {"tls_cert": None},
        "SCORING_TLS_KEY: expected a PEM file, as SCORING_TLS_CERT is set, got None": {"tls_key": None},
        r"SCORING_TLS_CERT: expected a PEM file that can be read \(No such file": {"tls_cert": tmp_path / "absent"},
        r"SCORING_TLS_KEY: expected a PEM file that can be read \(Is a directory": {"tls_key": tmp_path},
        "SCORING_TLS_KEY: expected the private key of the certificate in": {"tls_key": pairs["two"].key},
        "SCORING_TLS_KEY: expected a private key without a password, .* openssl pkey -in": {"tls_key": locked},
        "SCORING_TLS_CERT: expected a PEM file with a certificate": {"tls_cert": text},
        "SCORING_TLS_KEY: expected a PEM file with a private key": {"tls_key": text},
    }
    for message, changes in wrong.items():
        with pytest.raises(SettingsError, match=message):
            certificate(pair, **changes)


def test_the_end_of_a_certificate_is_read_from_it(pairs: dict[str, Pair]) -> None:
    for pair in pairs.values():
        told = openssl("x509", "-in", pair.cert, "-noout", "-enddate").strip().partition("=")[2]
        assert not_after(pair.cert.read_bytes()) == ssl.cert_time_to_seconds(told)


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_has_no_end(text: bytes) -> None:
    with pytest.raises(ValueError, match="certificate"):
        not_after(text)


def test_a_certificate_that_ends_soon_and_a_key_that_others_read_are_warned_about(
    pairs: dict[str, Pair], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("azmlinfsrv").propagate = True
    pair = own(pairs["ending"], tmp_path)
    pair.key.chmod(0o640)
    ending = certificate(pair)

    ending.warn()
    ending.expires = 0
    pair.key.chmod(0o600)
    ending.warn()

    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 3
    assert f"The certificate in {pair.cert} expires on " in texts[0]
    assert texts[1] == f"Others may read the private key in {pair.key}. Mend it: chmod 600 {pair.key}"
    assert f"The certificate in {pair.cert} expired on 1970-01-01 00:00 UTC" in texts[2]


def test_the_server_does_not_start_with_half_a_pair(pairs: dict[str, Pair], tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(WORK)
    server = Server(script, folder=tmp_path, SCORING_TLS_CERT=str(pairs["one"].cert))
    try:
        assert server.process.wait(20) == 3
        assert "SettingsError: SCORING_TLS_KEY: expected a PEM file" in server.err()
    finally:
        server.end()
