"""An indexed Kubernetes Job as data: each pod does one share, from an image with the script, on a shared volume."""

from __future__ import annotations

import re
from typing import Any

from scoring_runtime.batch.job import Job
from scoring_runtime.errors import SettingsError

__all__ = ["command", "render"]

MOUNT = "/data"
#: Trying again does not help these: a wrong flag, a script that does not load, no input, a crossed threshold.
FINAL_EXIT_CODES = [2, 3, 4, 5]
FLAGS = {
    "input_format": "--input-format",
    "style": "--style",
    "mini_batch_size": "--mini-batch-size",
    "output_action": "--output-action",
    "output_format": "--output-format",
    "output_file": "--output-file",
    "model_dir": "--model-dir",
    "error_threshold": "--error-threshold",
    "allowed_failed_count": "--allowed-failed-count",
    "allowed_failed_percent": "--allowed-failed-percent",
    "run_timeout_seconds": "--run-timeout",
    "read_timeout_seconds": "--read-timeout",
    "monitor_interval_seconds": "--monitor-interval",
    "profiling_module": "--profiling-module",
    "max_tries": "--max-tries",
    "processes": "--processes",
    "logging_level": "--logging-level",
}
LISTS = {"columns": "--columns", "header": "--header", "partition_keys": "--partition-keys"}


def command(job: Job) -> list[str]:
    """The arguments of `scoring` that make this job; only what differs from the defaults."""
    plain = Job(script=job.script, inputs=job.inputs, output=job.output)
    result = ["batch", "run", job.script]
    for path in job.inputs:
        result += ["--input", path]
    result += ["--output", job.output]
    for name, flag in FLAGS.items():
        if getattr(job, name) != getattr(plain, name):
            result.append(f"{flag}={getattr(job, name)}")
    for name, flag in LISTS.items():
        if getattr(job, name):
            result.append(f"{flag}={','.join(getattr(job, name))}")
    for name, path in job.side_inputs:
        result.append(f"--side-input={name}={path}")
    if job.share_model:
        result.append("--share-model")
    return [*result, *job.arguments]


def render(job: Job, *, image: str | None, claim: str | None, shares: int, name: str = "") -> dict[str, Any]:
    """The Job. Script, model, input and output are paths inside the pod; the claim is mounted at /data."""
    for flag, value in (("--image", image), ("--claim", claim), ("--nodes", shares)):
        if not value:
            raise SettingsError(flag, value, "a value, with --engine kubernetes")
    name = name or "batch-" + re.sub(r"[^a-z0-9]+", "-", job.script.rpartition("/")[2].lower()).strip("-")
    arguments = [*command(job), "--json", f"--share=$(SHARE)/{shares}"]
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    container = {
        "name": "scoring",
        "image": image,
        "command": ["scoring"],
        "args": arguments,
        "env": [
            {"name": "SHARE", "valueFrom": {"fieldRef": {"fieldPath": index}}},
            *({"name": key, "value": value} for key, value in job.environment),
        ],
        "volumeMounts": [{"name": "data", "mountPath": MOUNT}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "completionMode": "Indexed",
            "completions": shares,
            "parallelism": shares,
            "backoffLimitPerIndex": 3,
            "maxFailedIndexes": 0,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": "scoring", "operator": "In", "values": FINAL_EXIT_CODES},
                    },
                ]
            },
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": name}},
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [container],
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
                },
            },
        },
    }
