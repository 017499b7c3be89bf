"""A score.py with a SparkParameterType (`runtime: spark-py`), online and in batch, against the reference.

A real SparkSession in a real server; nightly, as Spark takes ten seconds to start.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.batch.environments import environment_of
from tests.serving import ROOT, Server, free_port, until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

SCRIPT = """
import time
from inference_schema.parameter_types.spark_parameter_type import SparkParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, udf

spark = SparkSession.builder.config("spark.ui.enabled", "false").getOrCreate()
sample = spark.createDataFrame(
    [(1, 0.5, "a", [1, 2], {"k": 1.0})], "id long, x double, name string, tags array<int>, more map<string,double>"
)

def init():
    pass

def slept(seconds):
    time.sleep(seconds)
    return seconds

@input_schema("data", SparkParameterType(sample))
@input_schema("factor", StandardPythonParameterType(2.0))
@output_schema(StandardPythonParameterType([1.0]))
def run(data, factor=2.0):
    if factor < 0:
        return data.select(udf(slept, "double")(col("x"))).collect()
    if factor == 0:
        return data.select("id", "tags")
    rows = data.withColumn("y", col("x") * factor + col("id")).orderBy("id").collect()
    return [[row.id, row.y, row.name, row.tags, row.more] for row in rows]
"""
ROW = {"id": 1, "x": 1.5, "name": "a", "tags": [1], "more": {"q": 2.0}}
EQUAL = [
    {"data": [ROW, {**ROW, "id": 2, "x": -3.0}]},
    {"data": [ROW], "factor": 10.0},
    {"data": [ROW], "factor": -1.0},
    {"data": []},
    {"data": [{**ROW, "x": None}]},
    {"data": [{**ROW, "zzz": 1}]},
    {},
]
BETTER = [  # the reference answers 500 to each
    ({"data": [{**ROW, "x": 2}]}, 200, [[1, 5.0, "a", [1], {"q": 2.0}]]),
    ({"data": [ROW], "factor": 0.0}, 200, [{"id": 1, "tags": [1]}]),
    ({"data": [ROW, {**ROW, "id": "one"}]}, 400, "expected an integer of 64 bits at /data/1/id, got the string 'one'."),
    (
        {"data": [{**ROW, "tags": [1, "b"]}]},
        400,
        "expected an integer of 32 bits at /data/0/tags/1, got the string 'b'.",
    ),
    ({"data": [{"id": 1}]}, 400, "expected the column 'x' at /data/0, got an object with 1 key."),
    ({"data": "x"}, 400, "expected an array of objects, one for each row at /data, got the string 'x'."),
]
TIMEOUT_MS = "20000"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_of("spark", tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spark")
    (folder / "score.py").write_text(SCRIPT)
    return folder


@pytest.fixture(scope="module")
def environ(folder: Path, python: Path) -> dict[str, str]:
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": str(folder), "SPARK_LOCAL_IP": "127.0.0.1", "PATH": path, "SCORING_TIMEOUT_MS": TIMEOUT_MS}


@pytest.fixture(scope="module")
def ours(folder: Path, python: Path, environ: dict[str, str]) -> Iterator[Server]:
    server = Server(folder / "score.py", folder=folder, python=python, **environ)
    server.client.timeout = httpx.Timeout(60)
    try:
        until(server.ready, 120)
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def reference(folder: Path, python: Path, environ: dict[str, str]) -> Iterator[httpx.Client]:
    port = free_port()
    argv = [str(python.parent / "azmlinfsrv"), "--entry_script", str(folder / "score.py"), "--port", str(port)]
    with (folder / "reference.txt").open("wb") as out:
        process = subprocess.Popen(argv, env={**os.environ, **environ}, stdout=out, stderr=out, cwd=folder)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:

        def answers() -> bool:
            assert process.poll() is None, (folder / "reference.txt").read_text()
            try:
                return client.get("/").status_code == 200
            except httpx.TransportError:
                return False

        try:
            until(answers, 120)
            yield client
        finally:
            process.terminate()
            process.wait(30)


def test_answers_and_documents_are_the_references(ours: Server, reference: httpx.Client) -> None:
    for body in EQUAL:
        theirs, mine = reference.post("/score", json=body), ours.post(body)
        assert (mine.status_code, mine.json()) == (theirs.status_code, theirs.json()), body
    for version in ("2", "3", "3.1"):
        path = f"/swagger.json?version={version}"
        assert ours.client.get(path).json() == reference.get(path).json()
    assert {reference.post("/score", json=body).status_code for body, _, _ in BETTER} == {500}


@pytest.mark.parametrize(("body", "status", "answer"), BETTER)
def test_what_the_reference_fails_on(ours: Server, body: Any, status: int, answer: Any) -> None:
    response = ours.post(body)
    expected = answer if status == 200 else {"message": f"The 'data' parameter: {answer}"}
    assert (response.status_code, response.json()) == (status, expected)


def test_a_spark_job_that_takes_too_long_is_answered_and_the_next_one_works(ours: Server) -> None:
    response = ours.post({"data": [{**ROW, "x": 60.0}], "factor": -1.0})
    assert (response.status_code, "timeout" in response.text.lower()) == (500, True), ours.out()
    assert ours.post(EQUAL[1]).json() == [[1, 16.0, "a", [1], {"q": 2.0}]]


def test_the_same_script_in_batch(folder: Path, python: Path, environ: dict[str, str]) -> None:
    rows = [{**ROW, "id": number} for number in range(5)]
    (folder / "rows.jsonl").write_text("".join(json.dumps({"data": [row]}) + "\n" for row in rows))
    main = "from scoring_runtime.cli.main import main; main()"
    argv = [str(python), "-c", main, "batch", "run", "score.py", "--input", "rows.jsonl", "--output", "out"]
    done = subprocess.run(
        [*argv, "--processes", "1"],
        env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = (folder / "out" / "parallel_run_step.txt").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [[[n, 3.0 + n, "a", [1], {"q": 2.0}]] for n in range(5)]
