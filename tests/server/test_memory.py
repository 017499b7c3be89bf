"""What malloc keeps between requests: seen by the page faults of a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving import Server, serving

REVERSE = """
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    return AMLResponse(request.get_data()[::-1], 200)
"""
BODY = bytes(1024 * 1024)
REQUESTS = 20


def faults_a_request(server: Server) -> float:
    [worker] = server.workers()
    for _ in range(3):  # the heap grows to its size
        server.client.post("/score", content=BODY)
    before = minor_faults(worker)
    for _ in range(REQUESTS):
        assert server.client.post("/score", content=BODY).content == BODY
    return (minor_faults(worker) - before) / REQUESTS


def minor_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


@pytest.mark.parametrize(
    ("environ", "kept"),
    [
        ({}, True),
        ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}, False),
    ],
    ids=["by itself", "trim threshold", "tunables"],
)
def test_large_bodies_cost_no_fresh_pages_unless_the_operator_says_so(
    tmp_path: Path, environ: dict[str, str], kept: bool
) -> None:
    with serving(REVERSE, tmp_path, **environ) as server:
        faults = faults_a_request(server)
    assert faults < 50 if kept else faults > 200  # a body and its answer are 512 pages
