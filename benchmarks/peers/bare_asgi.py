"""The ceiling: a bare ASGI callable, no framework, no log, no thread, orjson both ways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import plain_work

plain = plain_work.load()
raw = hasattr(plain, "predict_bytes")
content_type = b"application/octet-stream" if raw else b"application/json"


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "GET":
        answer = b'"Healthy"'
    else:
        chunks = []
        more = True
        while more:
            message = await receive()
            chunks.append(message["body"])
            more = message["more_body"]
        body = b"".join(chunks)
        answer = plain.predict_bytes(body) if raw else orjson.dumps(plain.predict(orjson.loads(body)))
    headers = [(b"content-type", content_type), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
