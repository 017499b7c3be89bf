"""The formatter and the filter that a logging.json may name."""

from __future__ import annotations

import logging
import time
from typing import Literal

__all__ = ["AMLLogFormatter", "RootAccessFilter"]

FORMAT = "%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"


class AMLLogFormatter(logging.Formatter):
    """Time in UTC with milliseconds, one letter for the level, process, logger, message."""

    converter = staticmethod(time.gmtime)

    def __init__(self, fmt: str = FORMAT, datefmt: str | None = None, style: Literal["%", "{", "$"] = "%") -> None:
        super().__init__(fmt=fmt, datefmt=datefmt, style=style)


class RootAccessFilter(logging.Filter):
    """Drops the access lines of health probes."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "GET / HTTP/1.1" not in record.getMessage()
