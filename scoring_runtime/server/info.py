"""What /info answers: which version serves which script with which settings, and what the workers report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from scoring_runtime import __version__
from scoring_runtime.settings import COMPATIBLE_VERSION, Settings

if TYPE_CHECKING:
    from scoring_runtime.server.dispatch import Dispatcher

__all__ = ["document"]


def document(settings: Settings, dispatcher: Dispatcher, not_ready: str) -> dict[str, Any]:
    """A JSON value; secrets are not in it."""
    return {
        "server": {
            "name": "scoring-runtime",
            "version": __version__,
            "compatible": COMPATIBLE_VERSION,
            "python": sys.version.split()[0],
        },
        "service": {
            "name": settings.service_name,
            "version": settings.service_version,
            "script": settings.entry_script,
            "model_dir": settings.model_dir,
        },
        "ready": not not_ready,
        "reason": not_ready or None,
        "load": {
            "workers": len(dispatcher.workers),
            "slots": dispatcher.slots,
            "busy": dispatcher.busy,
            "queued": dispatcher.queued,
        },
        "settings": settings.public(),
        "workers": [
            {"pid": worker.pid, "worker": worker.region, **worker.status.get("facts", {})}
            for worker in dispatcher.workers.values()
        ],
    }
