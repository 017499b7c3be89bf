"""HTTPS on the service's port: one context for all connections, whose certificate follows the files."""

from __future__ import annotations

import logging
import os
import ssl
import time
from datetime import datetime, timezone

from scoring_runtime.errors import SettingsError
from scoring_runtime.server.keys import signature
from scoring_runtime.settings import Settings

__all__ = ["Certificate", "not_after"]

logger = logging.getLogger("azmlinfsrv")

# TLS 1.2 with forward secrecy and authenticated encryption; TLS 1.3 brings its own.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
SOON_SECONDS = 14 * 86400
FIX = "Check SCORING_TLS_CERT and SCORING_TLS_KEY."


class Certificate:
    """The pair of PEM files, and the context that shows it to new connections. Raises SettingsError."""

    def __init__(self, settings: Settings) -> None:
        self.cert_path: str = settings.tls_cert or ""
        self.key_path: str = settings.tls_key or ""
        if not self.cert_path:
            raise SettingsError("SCORING_TLS_CERT", None, "a PEM file, as SCORING_TLS_KEY is set", "Set both, or none.")
        if not self.key_path:
            raise SettingsError("SCORING_TLS_KEY", None, "a PEM file, as SCORING_TLS_CERT is set", "Set both, or none.")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_ciphers(CIPHERS)
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        self.load()

    def load(self) -> None:
        """Try the pair on a context that nobody uses; only what works reaches the real one."""
        self.seen = self.state()
        cert, key = read(self.cert_path, "SCORING_TLS_CERT"), read(self.key_path, "SCORING_TLS_KEY")
        with MemoryFile(cert) as cert_file, MemoryFile(key) as key_file:
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                try:
                    context.load_cert_chain(cert_file.path, key_file.path, password=encrypted)
                except Encrypted:
                    expected = "a private key without a password"
                    fix = "Take it off: openssl pkey -in encrypted.pem -out key.pem"
                    raise SettingsError("SCORING_TLS_KEY", self.key_path, expected, fix) from None
                except ssl.SSLError as error:
                    raise self.named(error, cert) from None
        self.expires = not_after(cert)

    def named(self, error: ssl.SSLError, cert: bytes) -> SettingsError:
        """OpenSSL's reason, and which of the two files is meant."""
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if "mismatch" in reason:
            expected = f"the private key of the certificate in {self.cert_path}"
            return SettingsError("SCORING_TLS_KEY", self.key_path, expected, FIX)
        try:
            not_after(cert)
        except ValueError:
            return SettingsError("SCORING_TLS_CERT", self.cert_path, "a PEM file with a certificate", FIX)
        expected = f"a PEM file with a private key (OpenSSL: {reason})"
        return SettingsError("SCORING_TLS_KEY", self.key_path, expected, FIX)

    def refresh(self) -> None:
        """The files have changed: new connections see the new certificate; a broken pair leaves the old one."""
        if self.state() == self.seen:
            return
        try:
            self.load()
        except SettingsError as error:
            logger.error("The certificate has changed, but not to something usable; the old one stays. %s", error)
        else:
            logger.info("The certificate has changed: new connections get the new one")
            self.warn()

    def warn(self) -> None:
        """Say what will go wrong, or already has."""
        left = self.expires - time.time()
        day = datetime.fromtimestamp(self.expires, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        if left < SOON_SECONDS:
            word = "expired" if left < 0 else "expires"
            logger.warning(
                "The certificate in %s %s on %s; replace the file, no restart needed", self.cert_path, word, day
            )
        status = os.stat(self.key_path)
        if status.st_mode & (0o044 if status.st_uid == os.geteuid() else 0o004):
            logger.warning("Others may read the private key in %s. Mend it: chmod 600 %s", self.key_path, self.key_path)

    def state(self) -> tuple[object, ...]:
        return signature(self.cert_path), signature(self.key_path)


class Encrypted(Exception):
    """The key asks for a password, and nobody is there to type one."""


def encrypted() -> str:
    raise Encrypted


class MemoryFile:
    """Bytes under a path: OpenSSL reads certificates from files only, and ours may change between two reads."""

    def __init__(self, data: bytes) -> None:
        self.fd = os.memfd_create("pem", os.MFD_CLOEXEC)
        os.write(self.fd, data)
        self.path = f"/proc/self/fd/{self.fd}"

    def __enter__(self) -> MemoryFile:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.fd)


def read(path: str, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SettingsError(name, path, f"a PEM file that can be read ({error.strerror})", FIX) from None


def not_after(pem: bytes) -> float:
    """When the first certificate in a PEM file ends, as a time stamp; ValueError where there is none.

    The standard library shows a certificate's fields only to the other side of a connection. The way to this one:
    Certificate -> tbsCertificate -> [version], serial, algorithm, issuer, validity -> the second of its two times.
    """
    begin, end = pem.find(b"-----BEGIN CERTIFICATE-----"), pem.find(b"-----END CERTIFICATE-----")
    if begin < 0 or end < begin:
        raise ValueError("no certificate")
    der = ssl.PEM_cert_to_DER_cert(pem[begin : end + 25].decode("ascii", "replace"))
    try:
        tbs = fields(fields(fields(der)[0][1])[0][1])
        skipped = 1 if tbs[0][0] == 0xA0 else 0
        tag, text = fields(tbs[skipped + 3][1])[1]
        form = "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text.decode(), form).replace(tzinfo=timezone.utc).timestamp()
    except IndexError:
        raise ValueError("a damaged certificate") from None


def fields(der: bytes) -> list[tuple[int, bytes]]:
    """The elements of a DER value, each with its tag."""
    found, at = [], 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(der[at : at + count], "big")
            at += count
        found.append((tag, der[at : at + size]))
        at += size
    return found
