"""A run from and to an object store: a real client against an emulated S3, killed on the way; nightly."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from scoring_runtime.batch.run import run
from tests.batch.crashing import COMMAND, RESULTS, results, run_to_the_end
from tests.batch.environments import environment_of
from tests.batch.test_storage import SCRIPT
from tests.serving import ROOT, free_port, until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]
CLIENT = """
import sys, s3fs
files = s3fs.S3FileSystem()
verb, source, target = sys.argv[1:]
if verb == "put":
    files.mkdir("bucket")
    files.put_file(source, target)
elif verb == "get":
    files.get_file(source, target)
else:
    print("\\n".join(sorted(path.removeprefix(source) for path in files.find(source))))
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return environment_of("s3", tmp_path)


@pytest.fixture
def environ(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 of this machine in the environment variables that every client of it reads."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "moto.txt").open("wb") as out:
        server = subprocess.Popen([python, "-m", "moto.server", "-p", str(port)], stdout=out, stderr=out)
    values = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    for name, value in {**values, "AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)

    def answers() -> bool:
        try:
            return bool(urlopen(f"{url}/moto-api/data.json", timeout=5).status == 200)
        except OSError:
            return False

    try:
        until(answers, 60)
        yield
    finally:
        server.kill()
        server.wait()


def test_a_killed_run_on_an_object_store_ends_like_one_in_a_folder(tmp_path, make_job, table, python, environ):
    def client(*arguments: str) -> str:
        done = subprocess.run([python, "-c", CLIENT, *arguments], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    data = table(400)
    run(make_job(SCRIPT, mini_batch_size="10"))
    client("put", str(data), "bucket/in/rows.csv")
    # The error file names its input; the name is all that differs.
    expected = [
        content.replace(str(data).encode(), b"s3://bucket/in/rows.csv") for content in results(tmp_path / "out")
    ]
    argv = [str(python), *COMMAND[1:], str(tmp_path / "score.py"), "--json", "--max-tries", "8", "--processes", "2"]
    argv += ["--mini-batch-size", "10", "--input", "s3://bucket/in/*.csv", "--output", "s3://bucket/out"]
    run_to_the_end(argv, 1, jobs_killed=2, workers_killed=1)
    for name in RESULTS:
        client("get", f"bucket/out/{name}", str(tmp_path / name))
    assert results(tmp_path) == expected
    left = client("list", "bucket/out/", "-").split()
    assert [name for name in left if not name.startswith(("logs/", ".scoring/"))] == [
        "errors.jsonl",
        "parallel_run_step.txt",
        "run.json",
    ]
