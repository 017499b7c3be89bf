"""A job from a YAML file that people already have: v1 `parallel_run_config`, or a v2 batch deployment.

Every key is known by name. A key that the product has and this runtime does not need is said aloud; any other one is
an error that names the nearest key.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scoring_runtime.batch.job import Size
from scoring_runtime.batch.sources import find, kind_of
from scoring_runtime.errors import SettingsError

__all__ = ["read_config"]

ROOT_V1 = "parallel_run_config"
Values = dict[str, Any]

V1_IGNORED = {
    "environment": "the script runs in the Python that runs this command",
    "compute_target": "choose where to run with --engine",
    "node_count": "choose the number of shares with --engine and --nodes",
    "description": "",
}
V2_IGNORED = {
    "$schema": "",
    "name": "",
    "description": "",
    "tags": "",
    "properties": "",
    "type": "",
    "endpoint_name": "there is no endpoint: this command runs the job",
    "environment": "the script runs in the Python that runs this command",
    "compute": "choose where to run with --engine",
    "resources": "choose the number of shares with --engine and --nodes",
    "instance_count": "choose the number of shares with --engine and --nodes",
}


def read_config(path: str, inputs: Sequence[str], input_format: str = "auto") -> tuple[Values, list[str]]:
    """The Job's values, and a line for each key that has no effect here. Raises SettingsError."""
    document = load(path)
    folder = os.path.dirname(os.path.abspath(path))
    reader = Keys(path, folder)
    if ROOT_V1 in document:
        only(document, {ROOT_V1}, path)
        values = reader.read(mapping(document[ROOT_V1], ROOT_V1), V1, V1_IGNORED, ROOT_V1)
        source = values.pop("source_directory", None)
        if source is not None and "script" in values:
            values["script"] = os.path.join(folder, source, os.path.relpath(values["script"], folder))
        resolve_v1_size(values, inputs, input_format)
    else:
        values = read_v2(document, reader)
    return values, reader.ignored


def load(path: str) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError:
        raise SettingsError(path, "a YAML file", "PyYAML", "pip install 'scoring-runtime[batch]'") from None
    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(path, str(error), "a readable YAML file") from None
    return mapping(document, path)


def resolve_v1_size(values: Values, inputs: Sequence[str], input_format: str) -> None:
    """A number without a unit counts files, but bytes of a table."""
    text = str(values.get("mini_batch_size", ""))
    if not text.isdigit() or not inputs:
        return
    if kind_of(find(inputs), input_format) != "files":
        values["mini_batch_size"] = f"{text}b"


def read_v2(document: Mapping[str, Any], reader: Keys) -> Values:
    kind = document.get("type", "model")
    if kind != "model":
        raise SettingsError("type", kind, "model", "A pipeline deployment has no score.py to run.")
    if "resources" in document and "instance_count" in document:
        raise SettingsError("instance_count", document["instance_count"], "not beside resources", "Keep one of them.")
    document = dict(document)
    settings = document.pop("settings", None)
    values: Values = {
        "input_format": "files",
        "mini_batch_size": "10",
        "error_threshold": -1,
        "max_tries": 3,
        "run_timeout_seconds": 30.0,
        "output_file": "predictions.csv",
    }
    if settings is None:
        values.update(reader.read(document, {**V2, **V2_SETTINGS}, V2_IGNORED))
    else:
        values.update(reader.read(document, V2, V2_IGNORED))
        values.update(reader.read(mapping(settings, "settings"), V2_SETTINGS, V2_SETTINGS_IGNORED, "settings"))
    return values


class Keys:
    """Reads the keys of one mapping by a table, and collects what has no effect."""

    def __init__(self, path: str, folder: str) -> None:
        self.path = path
        self.folder = folder
        self.ignored: list[str] = []

    def read(
        self, document: Mapping[str, Any], table: Mapping[str, Row], ignored: Mapping[str, str], under: str = ""
    ) -> Values:
        only(document, {*table, *ignored}, self.path, under)
        values: Values = {}
        for key, value in document.items():
            if key in ignored:
                self.ignored.append(f"{key} has no effect here" + (f": {ignored[key]}" if ignored[key] else ""))
            elif value is not None:
                values.update(table[key](key, value, self.folder))
        return values


Row = Callable[[str, Any, str], Values]


def only(document: Mapping[str, Any], known: set[str], path: str, under: str = "") -> None:
    for key in document:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            place = f"{under}.{key}" if under else str(key)
            fix = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(sorted(known))}."
            raise SettingsError(place, document[key], f"a known key in {path}", fix)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(name, value, "a mapping of keys to values")
    return value


# -- rows: from a key's value to the Job's ----------------------------------------------------------------------------


def whole(name: str) -> Row:
    def row(key: str, value: Any, folder: str) -> Values:
        if isinstance(value, bool) or not str(value).lstrip("-").isdigit():
            raise SettingsError(key, value, "a whole number")
        return {name: int(value)}

    return row


def number(name: str) -> Row:
    def row(key: str, value: Any, folder: str) -> Values:
        try:
            return {name: float(value)}
        except (TypeError, ValueError):
            raise SettingsError(key, value, "a number") from None

    return row


def text(name: str) -> Row:
    return lambda key, value, folder: {name: str(value)}


def path(name: str) -> Row:
    return lambda key, value, folder: {name: os.path.join(folder, str(value))}


def level(key: str, value: Any, folder: str) -> Values:
    return {"logging_level": str(value).upper()}


def size(key: str, value: Any, folder: str) -> Values:
    Size.parse(value, key)
    return {"mini_batch_size": str(value)}


def keys(key: str, value: Any, folder: str) -> Values:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SettingsError(key, value, "a list of column names")
    return {"partition_keys": tuple(value)}


def environment(key: str, value: Any, folder: str) -> Values:
    return {"environment": tuple((str(name), str(item)) for name, item in mapping(value, key).items())}


def retry_settings(key: str, value: Any, folder: str) -> Values:
    settings = mapping(value, key)
    rows: dict[str, Row] = {"max_retries": whole("max_tries"), "timeout": number("run_timeout_seconds")}
    only(settings, set(rows), "retry_settings", key)
    result: Values = {}
    for name, item in settings.items():
        result.update(rows[name](f"{key}.{name}", item, folder))
    return result


def code_configuration(key: str, value: Any, folder: str) -> Values:
    settings = mapping(value, key)
    only(settings, {"code", "scoring_script"}, "code_configuration", key)
    if "scoring_script" not in settings:
        raise SettingsError(f"{key}.scoring_script", None, "the script's file name")
    return {"script": os.path.join(folder, str(settings.get("code", ".")), str(settings["scoring_script"]))}


def model(key: str, value: Any, folder: str) -> Values:
    """A local folder or file; a registered model is named, for whoever knows the registry."""
    where = value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(where, str):
        raise SettingsError(key, value, "a path, or a mapping with path")
    if where.startswith("azureml:"):
        return {"models": (where,)}
    place = os.path.join(folder, where)
    return {"model_dir": os.path.dirname(place) if os.path.isfile(place) else place}


V1: dict[str, Row] = {
    "entry_script": path("script"),
    "source_directory": text("source_directory"),
    "error_threshold": whole("error_threshold"),
    "output_action": text("output_action"),
    "append_row_file_name": text("output_file"),
    "mini_batch_size": size,
    "partition_keys": keys,
    "process_count_per_node": whole("processes"),
    "logging_level": level,
    "run_invocation_timeout": number("run_timeout_seconds"),
    "run_max_try": whole("max_tries"),
    "allowed_failed_count": whole("allowed_failed_count"),
    "allowed_failed_percent": number("allowed_failed_percent"),
    "environment_variables": environment,
}
V2: dict[str, Row] = {
    "code_configuration": code_configuration,
    "model": model,
    "environment_variables": environment,
}
V2_SETTINGS: dict[str, Row] = {
    "max_concurrency_per_instance": whole("processes"),
    "mini_batch_size": size,
    "error_threshold": whole("error_threshold"),
    "retry_settings": retry_settings,
    "output_action": text("output_action"),
    "output_file_name": text("output_file"),
    "logging_level": level,
    "environment_variables": environment,
}
V2_SETTINGS_IGNORED = {"instance_count": V2_IGNORED["instance_count"]}
