"""Against a real registry: logins, uploads that break and go on, downloads likewise, errors that name the cause."""

from __future__ import annotations

import io
import random
import subprocess
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import httpx
import pytest

from scoring_runtime.deploy.images import oci
from scoring_runtime.deploy.images.credentials import Credentials
from scoring_runtime.deploy.images.distribution import Repository
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.deploy.images.registry_auth import challenge_of
from scoring_runtime.deploy.images.registry_http import Redirects
from scoring_runtime.errors import RegistryError
from tests.containers import LocalRegistry, running_registry
from tests.deploy.gateway import Gateway, gateway_before
from tests.serving import free_port

BIG = random.Random(1).randbytes(3 << 20)
BIG_DIGEST = oci.digest_of(BIG)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture
def gateway(registry: LocalRegistry) -> Iterator[Gateway]:
    with gateway_before(f"http://{registry.address}") as one:
        yield one


@pytest.fixture
def big(tmp_path: Path) -> str:
    (tmp_path / "big").write_bytes(BIG)
    return str(tmp_path / "big")


def repository(address: str, name: str, credentials: Credentials = Credentials()) -> Repository:
    one = Repository(Reference.parse(f"{address}/{name}:1"), credentials)
    one.transport.pause = lambda seconds: None
    return one


def fetched(one: Repository) -> bytes:
    sink = io.BytesIO()
    one.fetch_blob(BIG_DIGEST, len(BIG), sink)
    return sink.getvalue()


def test_what_was_pushed_is_there(registry: LocalRegistry, tmp_path: Path, big: str) -> None:
    one = repository(registry.address, "plain")
    (tmp_path / "config").write_bytes(b"{}")
    one.upload(BIG_DIGEST, big, len(BIG))
    one.upload(oci.digest_of(b"{}"), str(tmp_path / "config"), 2)
    config, layer = oci.Descriptor.to(oci.CONFIG, b"{}"), oci.Descriptor.to(oci.LAYER, BIG)
    manifest = oci.encoded(oci.manifest_document(config, [layer]))

    one.put_manifest("1", manifest, oci.MANIFEST)

    assert one.manifest() == (manifest, oci.MANIFEST)
    assert one.manifest(oci.digest_of(manifest)) == (manifest, oci.MANIFEST)
    assert one.manifest_digest("1") == oci.digest_of(manifest)
    assert one.manifest_digest("2") == ""
    assert one.has_blob(BIG_DIGEST)
    assert not one.has_blob(oci.digest_of(b"other"))
    assert fetched(one) == BIG


def test_a_blob_is_mounted_from_another_repository_without_being_sent(registry: LocalRegistry, big: str) -> None:
    repository(registry.address, "source").upload(BIG_DIGEST, big, len(BIG))
    other = repository(registry.address, "target")

    assert other.mount(BIG_DIGEST, "source")
    assert other.has_blob(BIG_DIGEST)
    assert not other.mount(oci.digest_of(b"nowhere"), "source")


def test_an_upload_that_breaks_goes_on_where_it_was(gateway: Gateway, big: str) -> None:
    one = repository(gateway.address, "broken")
    one.part_bytes = 1 << 20
    gateway.cut_uploads = [None, 0]

    one.upload(BIG_DIGEST, big, len(BIG))

    assert [size for method, _, size in gateway.seen if method == "PATCH"] == [1 << 20] * 3
    assert gateway.methods() == ["POST", "PATCH", "GET", "PATCH", "PATCH", "PUT"]
    assert fetched(one) == BIG


def test_an_upload_that_the_registry_forgot_begins_anew(gateway: Gateway, big: str) -> None:
    one = repository(gateway.address, "forgotten")
    gateway.cut_uploads = [1000]  # a part that has arrived in part makes this registry forget all of the upload

    one.upload(BIG_DIGEST, big, len(BIG))

    assert gateway.methods() == ["POST", "GET", "POST", "PATCH", "PUT"]
    assert fetched(one) == BIG


@pytest.mark.parametrize("no_ranges", [False, True])
def test_a_download_that_breaks_goes_on(gateway: Gateway, big: str, no_ranges: bool) -> None:
    one = repository(gateway.address, "download")
    one.upload(BIG_DIGEST, big, len(BIG))
    gateway.no_ranges = no_ranges
    gateway.cut_downloads = [1_000_000]

    assert fetched(one) == BIG


def test_a_manifest_that_breaks_off_is_asked_for_again(gateway: Gateway) -> None:
    one = repository(gateway.address, "manifest")
    manifest = oci.encoded(oci.index_document([]))
    one.put_manifest("1", manifest, oci.INDEX)
    gateway.cut_downloads = [10, 0]

    assert one.manifest() == (manifest, oci.INDEX)
    gateway.cut_downloads = [10] * 9
    with pytest.raises(RegistryError, match=r"manifest:1: 1 broke off in 5 tries: IncompleteRead.*Try again later"):
        one.manifest()


def test_wrong_bytes_are_refused(gateway: Gateway, big: str) -> None:
    one = repository(gateway.address, "wrong")
    one.upload(BIG_DIGEST, big, len(BIG))
    gateway.corrupt = True

    with pytest.raises(RegistryError, match=f"blob {BIG_DIGEST} of 3145728 bytes came with .* and digest sha256:"):
        fetched(one)


def test_what_passes_is_tried_again_after_as_long_as_was_asked(gateway: Gateway) -> None:
    one = repository(gateway.address, "busy")
    pauses: list[float] = []
    one.transport.pause = pauses.append
    gateway.failures = [(429, {"Retry-After": "7"}), (503, {}), (502, {"Retry-After": "later"})]

    assert one.manifest_digest("1") == ""

    assert pauses[0] == 7
    assert 0.15 <= pauses[1] <= 0.6
    assert len(pauses) == 3


def test_what_does_not_pass_is_an_error(gateway: Gateway) -> None:
    one = repository(gateway.address, "busy")
    gateway.failures = [(503, {})] * 5

    with pytest.raises(RegistryError, match=r"busy:1: asking for 1 was answered 503 \(BUSY: later\)"):
        one.manifest()


def test_a_token_is_fetched_and_kept(gateway: Gateway, big: str) -> None:
    gateway.user = ("ada", "secret")
    one = repository(gateway.address, "tokens", Credentials("ada", "secret"))

    one.upload(BIG_DIGEST, big, len(BIG))
    one.mount(BIG_DIGEST, "source")

    own = "repository:tokens:pull,push"
    assert gateway.scopes == [own, own, "repository:source:pull"]
    assert one.has_blob(BIG_DIGEST, write=True)


def test_an_identity_token_is_changed_into_a_token(gateway: Gateway) -> None:
    gateway.user = ("ada", "secret")

    assert repository(gateway.address, "x", Credentials(identity_token="identity")).manifest_digest("1") == ""
    assert gateway.scopes == ["repository:x:pull"]


def test_a_wrong_login_is_named_without_its_password(gateway: Gateway) -> None:
    gateway.user = ("ada", "secret")
    one = repository(gateway.address, "x", Credentials("ada", "hunter2"))

    with pytest.raises(
        RegistryError, match=r"does not accept the login of ada: 401 UNAUTHORIZED: wrong login"
    ) as raised:
        one.manifest()

    assert "hunter2" not in str(raised.value)


def test_passwords_of_a_real_registry(tmp_path: Path, big: str) -> None:
    with running_registry(tmp_path / "r", "ada", "secret") as guarded:
        right = repository(guarded.address, "x", Credentials("ada", "secret"))
        right.upload(BIG_DIGEST, big, len(BIG))
        assert right.has_blob(BIG_DIGEST)

        with pytest.raises(RegistryError, match=r"wants a login, and none is known. Log in with `docker login"):
            repository(guarded.address, "x").manifest()
        with pytest.raises(RegistryError, match=r"was answered 401 .* Log in as someone who may"):
            repository(guarded.address, "x", Credentials("ada", "wrong")).manifest()


def test_an_image_that_is_not_there(registry: LocalRegistry) -> None:
    with pytest.raises(RegistryError, match=r"asking for 1 was answered 404 \(MANIFEST_UNKNOWN.*Check the name"):
        repository(registry.address, "nothing").manifest()


def test_nobody_there() -> None:
    with pytest.raises(RegistryError, match=r"cannot be reached: \[Errno 111\] Connection refused \(5 tries\)"):
        repository(f"127.0.0.1:{free_port()}", "x").manifest()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return paths


def test_an_untrusted_registry_is_refused_unless_its_authority_is_given(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with running_registry(tmp_path / "r", certificate=certificate) as guarded:
        reference = Reference.parse(f"{guarded.address}/x:1")

        with pytest.raises(RegistryError, match=r"is not trusted: self-signed certificate.* --ca-file"):
            Repository(reference, Credentials()).manifest_digest("1")

        trusting = Repository(reference, Credentials(), ca_file=str(certificate[0]))
        assert trusting.manifest_digest("1") == ""
        assert trusting.base == f"https://{guarded.address}"
        assert Repository(reference, Credentials(), insecure=True).manifest_digest("1") == ""


def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")

    for name, said in (("none.pem", "No such file"), ("empty.pem", "NO_CERTIFICATE_OR_CRL_FOUND")):
        with pytest.raises(RegistryError, match=f"--ca-file: .*{name}: expected a file of certificates as PEM.*{said}"):
            Repository(Reference.parse("127.0.0.1:1/x"), Credentials(), ca_file=str(tmp_path / name))


def test_plain_http_is_only_for_this_machine(registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reference, "is_loopback", False)

    with pytest.raises(RegistryError, match=r"does not speak HTTPS .* allow it with --insecure"):
        Repository(Reference.parse(f"{registry.address}/x"), Credentials()).connect()


def test_challenges_are_read() -> None:
    assert challenge_of('Bearer realm="https://a/t",service="s, t",scope=x') == (
        "bearer",
        {"realm": "https://a/t", "service": "s, t", "scope": "x"},
    )


@pytest.mark.parametrize(
    ("challenge", "reason"), [("Negotiate", "Basic and Bearer are known"), ('Bearer realm="http://a/"', "is not HTTPS")]
)
def test_a_challenge_that_cannot_be_met(challenge: str, reason: str) -> None:
    one = repository("example.com", "x")

    with pytest.raises(RegistryError, match=reason):
        one.authorizer.meet(challenge, ("s",), "https://example.com")


def redirected(start: str, end: str, method: str = "GET") -> urllib.request.Request | None:
    request = urllib.request.Request(start, method=method)
    request.add_unredirected_header("Authorization", "Bearer secret")
    return Redirects().redirect_request(request, io.BytesIO(), 307, "", Message(), end)


def test_redirects_are_followed_without_the_login() -> None:
    followed = redirected("https://a.example/blob", "https://b.example/blob", "HEAD")

    assert followed is not None
    assert (followed.full_url, followed.get_method(), followed.headers) == ("https://b.example/blob", "HEAD", {})
    assert redirected("https://a.example/blob", "https://b.example/blob", "PUT") is None


def test_redirects_out_of_https_are_not_followed() -> None:
    with pytest.raises(RegistryError, match=r"from HTTPS to http://b\.example/blob, which is not followed"):
        redirected("https://a.example/blob", "http://b.example/blob?signature=secret")


def test_an_upload_is_refused_with_the_registrys_words(gateway: Gateway, big: str) -> None:
    one = repository(gateway.address, "refused")
    gateway.failures = [(403, {})]
    with pytest.raises(
        RegistryError, match=r"beginning an upload was answered 403 \(BUSY: later\).* Log in as someone"
    ):
        one.upload(BIG_DIGEST, big, len(BIG))

    one.connect()
    gateway.failures = [(202, {"Location": "/v2/refused/blobs/uploads/x"}), (413, {})]
    with pytest.raises(RegistryError, match="an upload was answered 413"):
        one.upload(BIG_DIGEST, big, len(BIG))


def test_another_manifest_than_was_asked_for_is_refused(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    one = repository(gateway.address, "wrong")
    gateway.failures = [(200, {})]

    with pytest.raises(RegistryError, match=f"asked for {BIG_DIGEST}, got sha256:.* Do not use this registry"):
        one.manifest(BIG_DIGEST)


def test_a_login_does_not_follow_to_another_host() -> None:
    one = repository("127.0.0.1:1", "x", Credentials("ada", "secret"))
    one.base, one.authorizer.basic = "http://127.0.0.1:1", True

    assert one.headers_for("http://127.0.0.1:1/v2/", ("s",), None) == {
        "Authorization": httpx.BasicAuth("ada", "secret")._auth_header
    }
    assert one.headers_for("http://127.0.0.1:11/v2/", ("s",), None) == {}
