"""LitServe as its documentation shows it: one LitAPI, one worker, one API process."""

from __future__ import annotations

import os
from typing import Any

import litserve
import plain_work


class Score(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.plain = plain_work.load()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads annotations as a request model
        return request

    def predict(self, document: Any) -> Any:
        return self.plain.predict(document)

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Score(api_path="/score"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ["BENCHMARK_PORT"]), num_api_servers=1, generate_client_file=False)
