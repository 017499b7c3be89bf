"""YAML files of both generations: every key by name, what has no effect said, what is wrong named."""

from __future__ import annotations

import os
import sys

import pytest

from scoring_runtime.batch.config import read_config
from scoring_runtime.errors import SettingsError

V1 = """
parallel_run_config:
  environment: {python: {}}
  entry_script: score.py
  source_directory: src
  error_threshold: 10
  output_action: append_row
  compute_target: cpu-cluster
  node_count: 2
  process_count_per_node: 3
  mini_batch_size: 64KB
  description: text
  logging_level: debug
  run_invocation_timeout: 120
  run_max_try: 2
  append_row_file_name: out.txt
  allowed_failed_count: 4
  allowed_failed_percent: 12.5
  environment_variables: {A: 1}
"""
V2 = """
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
name: heart
endpoint_name: heart-batch
type: model
model: {path: model.pkl}
code_configuration: {code: code, scoring_script: batch.py}
environment: {image: any}
compute: azureml:cluster
resources: {instance_count: 2}
settings:
  max_concurrency_per_instance: 2
  mini_batch_size: 5
  output_action: append_row
  output_file_name: heart.csv
  retry_settings: {max_retries: 4, timeout: 300}
  error_threshold: 7
  logging_level: info
"""


@pytest.fixture
def read(tmp_path):
    def call(text: str, *inputs: str):
        (tmp_path / "model.pkl").touch()
        path = tmp_path / "job.yml"
        path.write_text(text)
        values, ignored = read_config(str(path), inputs)
        relative = {n: os.path.relpath(v, tmp_path) if n in ("script", "model_dir") else v for n, v in values.items()}
        return relative, ignored

    return call


def test_every_key_of_v1(read):
    values, ignored = read(V1)
    assert values == {
        "script": "src/score.py",
        "error_threshold": 10,
        "output_action": "append_row",
        "processes": 3,
        "mini_batch_size": "64KB",
        "logging_level": "DEBUG",
        "run_timeout_seconds": 120.0,
        "max_tries": 2,
        "output_file": "out.txt",
        "allowed_failed_count": 4,
        "allowed_failed_percent": 12.5,
        "environment": (("A", "1"),),
    }
    assert [line.split()[0] for line in ignored] == ["environment", "compute_target", "node_count", "description"]


def test_every_key_of_v2(read):
    values, ignored = read(V2)
    assert values == {
        "input_format": "files",
        "script": "code/batch.py",
        "model_dir": ".",
        "processes": 2,
        "mini_batch_size": "5",
        "output_action": "append_row",
        "output_file": "heart.csv",
        "max_tries": 4,
        "run_timeout_seconds": 300.0,
        "error_threshold": 7,
        "logging_level": "INFO",
    }
    assert any(line.startswith("compute has no effect here: choose where") for line in ignored)


def test_v2_defaults_and_its_older_form_without_settings(read):
    values, _ = read("code_configuration: {scoring_script: s.py}\nmini_batch_size: 3\nerror_threshold: 1\n")
    assert (values["mini_batch_size"], values["error_threshold"]) == ("3", 1)
    assert (values["max_tries"], values["run_timeout_seconds"], values["output_file"]) == (3, 30.0, "predictions.csv")


@pytest.mark.parametrize(("pattern", "size"), [("data/*.csv", "1024b"), ("data/*.png", "1024")])
def test_a_v1_size_without_unit_is_bytes_of_a_table_and_a_number_of_files(read, tmp_path, pattern, size):
    (tmp_path / "data").mkdir()
    for name in ("a.csv", "b.png"):
        (tmp_path / "data" / name).touch()
    text = "parallel_run_config: {entry_script: s.py, mini_batch_size: 1024}"
    assert read(text, str(tmp_path / pattern))[0]["mini_batch_size"] == size


def test_partition_keys_are_a_list(read):
    assert read("parallel_run_config: {partition_keys: [a, b]}")[0]["partition_keys"] == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parallel_run_config: {mini_batch_sise: 3}", r"parallel_run_config.mini_batch_sise: .*mini_batch_size\?"),
        ("parallel_run_config: {qqq: 3}", "Known are: "),
        ("parallel_run_config: {}\nother: 1", "other: expected a known key"),
        ("parallel_run_config: {error_threshold: many}", "error_threshold: expected a whole number, got 'many'"),
        ("parallel_run_config: {allowed_failed_percent: x}", "allowed_failed_percent: expected a number"),
        ("parallel_run_config: {partition_keys: a}", "partition_keys: expected a list"),
        ("parallel_run_config: {mini_batch_size: 3TB}", "mini_batch_size: expected a number of items"),
        ("parallel_run_config: 3", "parallel_run_config: expected a mapping"),
        ("type: pipeline", "type: expected model, got 'pipeline'"),
        ("resources: {}\ninstance_count: 1", "instance_count: expected not beside resources"),
        ("settings: {retry_settings: {max_retry: 1}}", r"retry_settings.max_retry: .*max_retries\?"),
        ("code_configuration: {code: x}", r"code_configuration.scoring_script: expected the script's file name"),
        ("model: 3", "model: expected a path"),
        ("a: [", "expected a readable YAML file"),
        ("[1]", "expected a mapping"),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(SettingsError, match=message):
        read(text)


def test_a_missing_pyyaml_says_what_to_install(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(SettingsError, match=r"pip install 'scoring-runtime\[batch\]'"):
        read("{}")
