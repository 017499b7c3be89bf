"""Every example is started and called as its README says, and by a client of its own."""

from __future__ import annotations

import asyncio
import json
import runpy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving import JSON, ROOT, Server
from tests.snippets import Shell, blocks

EXAMPLES = ROOT / "examples"
NAMES = sorted(
    folder.name
    for folder in EXAMPLES.iterdir()
    if (folder / "score.py").is_file() and not folder.name.startswith("batch-")
)


@contextmanager
def example(name: str, folder: Path, *arguments: str, **environ: str) -> Iterator[Server]:
    """The example, started in its own folder."""
    copy = shutil.copytree(EXAMPLES / name, folder / name)
    server = Server(copy / "score.py", *arguments, folder=copy, **environ)
    try:
        yield server.wait_ready()
    finally:
        server.end()


def sample(name: str) -> bytes:
    return (EXAMPLES / name / "request.json").read_bytes()


def score(server: Server, name: str) -> object:
    response = server.client.post("/score", content=sample(name), headers=JSON)
    assert response.status_code == 200, response.text
    return response.json()


ANSWERS = {
    "json": {"message": "Hello, Ada!"},
    "numpy-schema": [4.5, 2.0],
    "pandas-schema": [{"item": "tea", "total": 10.0}, {"item": "cake", "total": 6.0}],
    "nested-schema": {"Results": {"WebServiceOutput0": [95000.0, 36500.0]}},
    "cors": {"length": 14},
    "onnx-session": [[1, 4], [9, 16], [25, 36]],
    "two-models": {"net": 3.0, "gross": 3.21},
    "async-run": {"waited": 0.2, "most_at_a_time": 1},
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sklearn-model"])
def test_readme_says_what_happens(name: str, tmp_path: Path) -> None:
    """Its commands are run; then a client of another kind sends the sample request to the server that they started."""
    shutil.copytree(EXAMPLES / name, tmp_path / "examples" / name)
    with Shell(tmp_path) as shell:
        for block in blocks(EXAMPLES / name / "README.md"):
            shell.run(block)

        assert shell.server is not None
        if name in ANSWERS:
            assert score(shell.server, name) == ANSWERS[name]


@pytest.mark.parametrize("name", NAMES)
def test_example_is_complete(name: str) -> None:
    folder = EXAMPLES / name

    assert [kind for kind in ("request.json", "request.sh") if (folder / kind).is_file()]
    assert 5 <= len((folder / "README.md").read_text().splitlines()) <= 30
    assert f"{name}/" in (ROOT / "README.md").read_text()


def test_sklearn_model_tells_the_flowers_apart(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "sklearn-model", tmp_path / "examples/sklearn-model")
    with Shell(tmp_path) as shell:
        for block in blocks(EXAMPLES / "sklearn-model/README.md"):
            shell.run(block)
        assert shell.server is not None
        answer = score(shell.server, "sklearn-model")

    assert isinstance(answer, dict)
    assert answer["species"] == ["setosa", "virginica"]
    assert [round(sum(row), 2) for row in answer["probabilities"]] == [1.0, 1.0]


def test_rawhttp_reverses_bytes_and_tells_methods_apart(tmp_path: Path) -> None:
    with example("rawhttp-reverse", tmp_path) as server:
        posted = server.client.post("/score", content=bytes(range(256)))
        got = server.client.get("/score?a=1")
        asked = server.client.options("/score")

    assert posted.content == bytes(reversed(range(256)))
    assert posted.headers["content-type"] == "application/octet-stream"
    assert (got.status_code, got.text) == (200, "/score?a=1")
    assert (asked.status_code, asked.text) == (500, "bad request")


def test_image_upload_looks_at_the_picture(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    runpy.run_path(str(EXAMPLES / "image-upload/make_image.py"))["main"](picture)

    with example("image-upload", tmp_path) as server:
        seen = server.client.post("/score", files={"image": ("red-blue.png", picture.read_bytes())})
        words = server.client.post("/score", files={"image": ("a.txt", b"words")})
        nothing = server.client.post("/score", content=b"")

    assert seen.json() == {"file": "red-blue.png", "width": 64, "height": 32, "mean": [128, 0, 128]}
    assert (words.status_code, words.json()) == (400, {"message": "a.txt is not an image"})
    assert nothing.status_code == 400


def test_nested_schema_is_in_swagger_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with example("nested-schema", tmp_path) as server:
        document = server.client.get("/swagger.json").json()
        refused = server.post({"Inputs": {"WebServiceInput0": [{"rooms": "many"}]}, "GlobalParameters": 1.0})

    assert refused.status_code == 400
    assert "Inputs" in refused.json()["message"]

    assert set(document["definitions"]["ServiceInput"]["properties"]) == {"Inputs", "GlobalParameters"}


def test_streaming_sends_one_line_after_the_other(tmp_path: Path) -> None:
    with example("streaming", tmp_path) as server:
        response = server.client.post("/score", content=sample("streaming"))

    assert response.headers["transfer-encoding"] == "chunked"
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["square"] for line in response.text.splitlines()] == [1, 4, 9]


def test_cors_answers_the_preflight_of_a_known_origin(tmp_path: Path) -> None:
    shop = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    with example("cors", tmp_path, "--access_control_allow_origins", "https://shop.example") as server:
        known = server.client.options("/score", headers=shop)
        strange = server.client.options("/score", headers={**shop, "Origin": "https://other.example"})

    assert known.headers["access-control-allow-origin"] == "https://shop.example"
    assert "POST" in known.headers["access-control-allow-methods"]
    assert strange.headers.get("access-control-allow-origin") != "https://other.example"


def test_async_run_works_on_several_requests_at_a_time(tmp_path: Path) -> None:
    async def ask(url: str) -> list[int]:
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
            body = sample("async-run")
            answers = await asyncio.gather(*(client.post("/score", content=body) for _ in range(4)))
        return [answer.json()["most_at_a_time"] for answer in answers]

    with example("async-run", tmp_path, SCORING_MAX_CONCURRENT_REQUESTS="4") as server:
        assert max(asyncio.run(ask(server.url))) == 4
