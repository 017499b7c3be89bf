"""Whether a service on a port is ready to score."""

from __future__ import annotations

import http.client
import ssl

__all__ = ["answers"]

SECONDS = 5


def answers(host: str, port: int, *, tls: bool) -> bool:
    """Asks /readyz. The certificate is not looked at: it is for the service's name, not for this address."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
