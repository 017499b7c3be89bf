"""Keys and certificate of the front, together: checked before anything is forked, looked at again while it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoring_runtime.server.auth import Guard, ProbeGuard, choose_guard
from scoring_runtime.server.keys import KeySource, Vault
from scoring_runtime.settings import Settings

if TYPE_CHECKING:
    import ssl

    from scoring_runtime.server.tls import Certificate

__all__ = ["Secured"]


class Secured:
    """What stands before the ports. Raises SettingsError."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self.source = KeySource(settings, vault)
        self.guard: Guard | None = choose_guard(settings, self.source.read()) if settings.auth != "none" else None
        self.certificate: Certificate | None = None
        if settings.tls_cert or settings.tls_key:
            from scoring_runtime.server.tls import Certificate

            self.certificate = Certificate(settings)
        on = self.guard is not None or self.certificate is not None
        self.probe_guard: Guard | None = ProbeGuard(settings.port) if on else None

    @property
    def context(self) -> ssl.SSLContext | None:
        return self.certificate.context if self.certificate is not None else None

    def warn(self) -> None:
        self.source.warn()
        if self.certificate is not None:
            self.certificate.warn()

    def refresh(self) -> None:
        """Several times a second."""
        if self.guard is not None and (keys := self.source.refresh()) is not None:
            self.guard.change(keys)
        if self.certificate is not None:
            self.certificate.refresh()
