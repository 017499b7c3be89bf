"""Certificates for tests, made by the openssl command."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class Pair(NamedTuple):
    cert: Path
    key: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"SCORING_TLS_CERT": str(self.cert), "SCORING_TLS_KEY": str(self.key)}


def openssl(*arguments: object, input: bytes = b"") -> str:
    """Its output; both streams, as it tells on either."""
    assert shutil.which("openssl"), "these tests need the command openssl: apt-get install openssl"
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    return done.stdout.decode(errors="replace")


def make_pair(folder: Path, name: str, days: int = 365, ca: Pair | None = None, authority: bool = False) -> Pair:
    """A certificate for this machine and its key: signed by itself, or by `ca`, whose chain follows it in the file."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    extensions = ["-addext", "basicConstraints=critical,CA:TRUE"] if authority else ["-addext", NAMES]
    signer = ["-CA", ca.cert, "-CAkey", ca.key] if ca else []
    told = openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
        *("-days", days, "-keyout", pair.key, "-out", pair.cert, *extensions, *signer),
    )
    assert pair.cert.exists(), told
    if ca:
        pair.cert.write_text(pair.cert.read_text() + ca.cert.read_text())
    pair.key.chmod(0o600)
    return pair


def put_in_place(pair: Pair, of: Pair) -> None:
    """Replace the files of a running server, first the key."""
    for new, old in ((pair.key, of.key), (pair.cert, of.cert)):
        shutil.copy2(new, f"{old}.new")
        os.replace(f"{old}.new", old)
