"""What a log says last: the script's own error, to be shown with a state."""

from __future__ import annotations

import re

__all__ = ["last_words"]


def last_words(log: str) -> str:
    """The last error that the script or the server wrote, with what follows it; else the last lines."""
    lines = [line for line in log.strip().splitlines() if line.strip()]
    marks = [at for at, line in enumerate(lines) if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line.strip())]
    words = lines[marks[-1] :][:6] if marks else lines[-3:]
    return "\n".join(words)
