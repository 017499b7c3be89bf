"""A client of the OCI distribution API: manifests and blobs of one repository, checked against their digests."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

from scoring_runtime.deploy.images.credentials import Credentials, find_credentials
from scoring_runtime.deploy.images.oci import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, digest_of
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.deploy.images.registry_auth import Authorizer
from scoring_runtime.deploy.images.registry_http import BROKEN, Answer, Body, PlainHttp, Transport, backoff
from scoring_runtime.errors import RegistryError

__all__ = ["Meter", "Repository", "no_meter"]

Meter = Callable[[int], None]  # told the bytes that have just gone over the wire
ACCEPTED = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
CHUNK_BYTES = 1 << 20
WHOLE_BYTES = 1 << 20  # up to here a blob goes in one request
PART_BYTES = 32 << 20  # of more than that; an upload that breaks goes on with the part that broke
TRANSFER_TRIES = 5


def no_meter(amount: int) -> None:
    pass


class Repository:
    """Where the reference points. `credentials` are looked for where docker and podman keep theirs."""

    def __init__(
        self,
        reference: Reference,
        credentials: Credentials | None = None,
        insecure: bool = False,
        ca_file: str | None = None,
    ) -> None:
        self.reference = reference
        self.plain_allowed = insecure or reference.is_loopback
        self.transport = Transport(reference.registry, insecure, ca_file, reference.is_loopback)
        known = credentials if credentials is not None else find_credentials(reference.registry)
        self.authorizer = Authorizer(self.transport, known)
        self.part_bytes = PART_BYTES
        self.base = ""  # scheme and host, once the registry has answered

    # what all requests share

    def connect(self) -> str:
        """HTTPS; plain HTTP only if that is not spoken there, and this machine or `insecure` allows it."""
        if not self.base:
            host = self.reference.host
            try:
                self.transport.send("GET", f"https://{host}/v2/").close()
                self.base = f"https://{host}"
            except PlainHttp:
                if not self.plain_allowed:
                    raise
                self.base = f"http://{host}"
        return self.base

    def scopes(self, write: bool, other: str = "") -> tuple[str, ...]:
        own = f"repository:{self.reference.repository}:{'pull,push' if write else 'pull'}"
        return (own, f"repository:{other}:pull") if other else (own,)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        write: bool = False,
        other: str = "",
        tries: int | None = None,
    ) -> Answer:
        """With a login, if one is asked for."""
        scopes = self.scopes(write, other)
        url = urllib.parse.urljoin(self.connect(), url)
        answer = self.transport.send(method, url, self.headers_for(url, scopes, headers), body, tries)
        if answer.status == 401 and "WWW-Authenticate" in answer.headers and self.is_ours(url):
            challenge = answer.headers["WWW-Authenticate"]
            answer.close()
            self.authorizer.meet(challenge, scopes, self.base)
            answer = self.transport.send(method, url, self.headers_for(url, scopes, headers), body, tries)
        return answer

    def headers_for(self, url: str, scopes: tuple[str, ...], headers: Mapping[str, str] | None) -> dict[str, str]:
        return {**(headers or {}), **(self.authorizer.headers(scopes) if self.is_ours(url) else {})}

    def is_ours(self, url: str) -> bool:
        """Uploads may go to another host, which must not see the login."""
        return url.startswith(self.base + "/")

    def url(self, *parts: str) -> str:
        return f"/v2/{self.reference.repository}/{'/'.join(parts)}"

    def refuse(self, answer: Answer, what: str) -> RegistryError:
        said = answer.complaint()
        text = f"{self.reference}: {what} was answered {answer.status}{f' ({said})' if said else ''}."
        if answer.status in (401, 403):
            text += f" Log in as someone who may: docker login {self.reference.registry}"
        elif answer.status == 404:
            text += " Check the name and the tag."
        return RegistryError(text)

    # manifests

    def manifest(self, target: str = "") -> tuple[bytes, str]:
        """The document and its media type."""
        target = target or self.reference.target
        for attempt in range(1, TRANSFER_TRIES + 1):
            answer = self.request("GET", self.url("manifests", target), {"Accept": ACCEPTED})
            if answer.status != 200:
                raise self.refuse(answer, f"asking for {target}")
            try:
                data = answer.read()
                break
            except BROKEN as error:
                if attempt == TRANSFER_TRIES:
                    raise RegistryError(
                        f"{self.reference}: {target} broke off in {attempt} tries: {error}. Try again later."
                    ) from None
                self.transport.pause(backoff(attempt))
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if target.startswith("sha256:") and digest_of(data) != target:
            raise RegistryError(
                f"{self.reference}: asked for {target}, got {digest_of(data)}. Do not use this registry."
            )
        return data, kind

    def manifest_digest(self, target: str) -> str:
        """Empty if there is none."""
        answer = self.request("HEAD", self.url("manifests", target), {"Accept": ACCEPTED})
        answer.close()
        return answer.headers.get("Docker-Content-Digest", "") if answer.status == 200 else ""

    def put_manifest(self, target: str, data: bytes, media_type: str) -> None:
        answer = self.request("PUT", self.url("manifests", target), {"Content-Type": media_type}, data, write=True)
        if answer.status not in (200, 201, 202):
            raise self.refuse(answer, f"writing {target}")
        answer.close()

    # blobs down

    def has_blob(self, digest: str, write: bool = False) -> bool:
        answer = self.request("HEAD", self.url("blobs", digest), write=write)
        answer.close()
        return answer.status == 200

    def fetch_blob(self, digest: str, size: int, sink: BinaryIO, meter: Meter = no_meter) -> None:
        """Into the sink, which is left with wrong bytes if this raises. A broken connection is taken up again."""
        hashed = hashlib.sha256()
        done = 0
        for attempt in range(1, TRANSFER_TRIES + 1):
            answer = self.request("GET", self.url("blobs", digest), {"Range": f"bytes={done}-"} if done else {})
            if answer.status not in (200, 206):
                raise self.refuse(answer, f"asking for blob {digest}")
            if done and answer.status == 200:  # it does not know ranges
                sink.seek(0)
                sink.truncate()
                hashed, done = hashlib.sha256(), 0
            try:
                with answer.stream as stream:
                    while done <= size and (chunk := stream.read(CHUNK_BYTES)):
                        sink.write(chunk)
                        hashed.update(chunk)
                        done += len(chunk)
                        meter(len(chunk))
            except BROKEN:
                pass
            if done >= size:
                break
            self.transport.pause(backoff(attempt))
        if done != size or "sha256:" + hashed.hexdigest() != digest:
            raise RegistryError(
                f"{self.reference}: blob {digest} of {size} bytes came with {done} bytes and digest "
                f"sha256:{hashed.hexdigest()}. Try again; if it stays so, the registry or what is before it is broken."
            )

    # blobs up

    def mount(self, digest: str, source: str) -> bool:
        """Take the blob from another repository of the same registry, without sending it."""
        query = urllib.parse.urlencode({"mount": digest, "from": source})
        answer = self.request("POST", self.url("blobs", f"uploads/?{query}"), body=b"", write=True, other=source)
        answer.close()
        if answer.status == 202:  # not mounted; an upload has begun instead, which nobody needs
            self.request("DELETE", answer.headers.get("Location", ""), write=True, tries=1).close()
        return answer.status == 201

    def upload(self, digest: str, path: str, size: int, meter: Meter = no_meter) -> None:
        for attempt in range(1, TRANSFER_TRIES + 1):
            answer = self.request("POST", self.url("blobs", "uploads/"), body=b"", write=True)
            location = self.location(answer, "beginning an upload")
            if size > WHOLE_BYTES:
                location = self.send_in_parts(location, path, size, meter)
                if not location:  # the registry has forgotten the upload
                    self.transport.pause(backoff(attempt))
                    continue
                answer = self.request("PUT", with_digest(location, digest), body=b"", write=True)
            else:
                with open(path, "rb") as file:
                    data = file.read()
                headers = {"Content-Type": "application/octet-stream"}
                answer = self.request("PUT", with_digest(location, digest), headers, data, write=True)
                meter(size)
            if answer.status in (201, 204):
                answer.close()
                return
            if answer.status != 404 or attempt == TRANSFER_TRIES:
                raise self.refuse(answer, f"writing blob {digest}")
            answer.close()
        raise RegistryError(f"{self.reference}: blob {digest} could not be written in {TRANSFER_TRIES} tries.")

    def send_in_parts(self, location: str, path: str, size: int, meter: Meter) -> str:
        """Where the end of the upload goes to; empty if it must begin anew."""
        done, failures = 0, 0
        while done < size:
            end = min(done + self.part_bytes, size)
            try:
                answer = self.request(
                    "PATCH", location, part_headers(done, end), part(path, done, end, meter), True, "", 1
                )
            except RegistryError:
                answer = None
            if answer is not None and answer.status in (201, 202, 204):
                location, done = self.location(answer, "an upload"), end
                continue
            if answer is not None:
                if answer.status not in (404, 408, 416, 429, 500, 502, 503, 504):
                    raise self.refuse(answer, "an upload")
                answer.close()
            failures += 1
            self.transport.pause(backoff(failures))
            answer = self.request("GET", location, write=True)  # how much has arrived?
            if answer.status != 204 or failures == TRANSFER_TRIES:
                answer.close()
                return ""
            held = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", ""))
            done = int(held[1]) + 1 if held and held[1] != "0" else 0
            location = self.location(answer, "an upload")
        return location

    def location(self, answer: Answer, what: str) -> str:
        where: str = answer.headers.get("Location", "")
        if answer.status not in (201, 202, 204) or not where:
            raise self.refuse(answer, what)
        answer.close()
        return urllib.parse.urljoin(answer.url, where)


def with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}{urllib.parse.urlencode({'digest': digest})}"


def part_headers(start: int, end: int) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(end - start),
        "Content-Range": f"{start}-{end - 1}",
    }


def part(path: str, start: int, end: int, meter: Meter) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        with open(path, "rb") as file:
            file.seek(start)
            left = end - start
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
                meter(len(chunk))

    return pieces
