"""Engines move work and own nothing: their runs end with the same bytes, and can be continued by another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scoring_runtime.batch.engines.kubernetes import command, render
from scoring_runtime.batch.engines.ray import run_on_ray
from scoring_runtime.batch.engines.shares import run_in_shares, work
from scoring_runtime.batch.engines.spark import run_on_spark
from scoring_runtime.batch.run import run
from scoring_runtime.cli.main import parser
from scoring_runtime.errors import BatchError, SettingsError
from tests.batch.environments import environment_of

ROOT = Path(__file__).parents[2]
SCRIPT = "def run(mini_batch):\n    return [f'{n} {x}' for n, x in zip(mini_batch['id'], mini_batch['x'])]"
MAIN = "from scoring_runtime.cli.main import main; main()"


@pytest.fixture
def job(make_job, table):
    table(200)
    return make_job(SCRIPT, mini_batch_size="10")


def test_an_engine_gets_every_share_and_what_it_leaves_is_done_here(tmp_path, job):
    seen = []

    def half(job, shares):
        seen.extend(map(str, shares))
        assert work(job.to_json(), str(shares[0])) == "share_done"

    record = run_in_shares(job, half, 3)
    assert seen == ["0/3", "1/3", "2/3"]
    assert record.status == "completed"
    assert len((tmp_path / "out" / "parallel_run_step.txt").read_text().splitlines()) == 200


def test_only_a_whole_run_can_begin_anew(job):
    from scoring_runtime.batch.run import Share

    with pytest.raises(SettingsError, match="without --share"):
        run(job, share=Share(0, 2), restart=True)


@pytest.mark.parametrize(("engine", "extra"), [(run_on_ray, "ray"), (run_on_spark, "spark")])
def test_an_engine_that_is_not_installed_says_how_to_install_it(monkeypatch, job, engine, extra):
    for module in ("ray", "pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BatchError, match=rf"pip install 'scoring-runtime\[{extra}\]'"):
        engine(job)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["ray", "spark"])
def test_a_real_engine_ends_with_the_bytes_of_a_local_run(tmp_path, job, engine):
    python = environment_of(engine, tmp_path)
    run(job)
    environ = {
        **os.environ,
        "HOME": str(tmp_path),  # both write there
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "120",  # it gives up after 30 s on a busy machine
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    argv = [str(python), "-c", MAIN, "batch", "run", job.script, "--input", *job.inputs, "--mini-batch-size", "10"]
    argv += ["--output", str(tmp_path / engine / "out"), "--engine", engine, "--nodes", "2"]
    process = subprocess.run(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert process.returncode == 0, process.stdout.decode()
    name = "parallel_run_step.txt"
    assert (tmp_path / engine / "out" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    argv[argv.index(job.script)] = str(tmp_path / "missing.py")
    process = subprocess.run(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert process.returncode == 4, process.stdout.decode()


def test_the_kubernetes_job_is_valid_and_each_pod_does_its_share(job):
    validate = pytest.importorskip("kubernetes_validate")
    document = render(job, image="registry/score:1", claim="data", shares=4, name="nightly-scores")
    validate.validate(yaml.safe_load(yaml.safe_dump(document)), "1.33", strict=True)
    spec = document["spec"]
    assert (spec["completions"], spec["completionMode"]) == (4, "Indexed")
    container = spec["template"]["spec"]["containers"][0]
    assert container["args"][-1] == "--share=$(SHARE)/4"
    assert container["env"][0]["name"] == "SHARE"


def test_a_pods_arguments_make_the_same_job(make_job, tmp_path):
    from scoring_runtime.cli.batch import job_from

    job = make_job(
        SCRIPT,
        inputs=("/data/in/*.csv", "/data/more"),
        columns=("id", "x"),
        error_threshold=5,
        output_format="csv",
        side_inputs=(("labels", "/data/labels"),),
        share_model=True,
        arguments=("--alpha", "2"),
        run_timeout_seconds=9.5,
    )
    arguments, rest = parser("batch").parse_known_args(command(job))
    assert job_from(arguments, rest) == job


def test_a_kubernetes_job_needs_image_claim_and_shares(job):
    with pytest.raises(SettingsError, match="--image"):
        render(job, image=None, claim="data", shares=2)
    assert render(job, image="i", claim="c", shares=1)["metadata"]["name"] == "batch-score-py"
