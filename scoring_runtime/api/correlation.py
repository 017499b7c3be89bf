"""What ties collected inputs to the outputs that came of them."""

from __future__ import annotations

import time

__all__ = ["BasicCorrelationContext", "CorrelationContext", "WrapperContext"]


class CorrelationContext:
    """The base of contexts; a script may bring one of its own."""

    def get_id(self) -> str:
        return ""

    def get_timestamp(self) -> int:
        return 0

    def get_headers(self) -> dict[str, str]:
        return {}

    def __str__(self) -> str:
        return self.get_id()

    __repr__ = __str__


class BasicCorrelationContext(CorrelationContext):
    """An id (a new UUID if none is given), a time in seconds, and headers."""

    def __init__(
        self,
        id: str | None = None,
        timestamp: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        if not id:
            import uuid

            id = str(uuid.uuid4())
        self.id = id
        self.timestamp = timestamp or int(time.time())
        self.headers = headers or {}

    def get_id(self) -> str:
        return self.id

    def get_timestamp(self) -> int:
        return self.timestamp

    def get_headers(self) -> dict[str, str]:
        return self.headers


class WrapperContext(CorrelationContext):
    """A context, and whether the data collected under it was taken."""

    def __init__(self, correlation_context: CorrelationContext, success: bool, message: str) -> None:
        self.context = correlation_context
        self.success = success
        self.message = message

    def get_id(self) -> str:
        return self.context.get_id()

    def get_timestamp(self) -> int:
        return self.context.get_timestamp()

    def get_headers(self) -> dict[str, str]:
        return self.context.get_headers()

    def is_success(self) -> bool:
        return self.success

    def get_message(self) -> str:
        return self.message
