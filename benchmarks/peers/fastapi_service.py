"""FastAPI as its documentation shows it: a `def` endpoint (run in its thread pool) with a JSON body."""

from __future__ import annotations

from typing import Any

import plain_work
from fastapi import Body, FastAPI, Request, Response

plain = plain_work.load()
app = FastAPI()


@app.get("/")
def health() -> str:
    return "Healthy"


if hasattr(plain, "predict_bytes"):

    @app.post("/score")
    async def score_bytes(request: Request) -> Response:
        return Response(plain.predict_bytes(await request.body()), media_type="application/octet-stream")

else:

    @app.post("/score")
    def score(document: dict[str, Any] = Body()) -> Any:
        return plain.predict(document)
