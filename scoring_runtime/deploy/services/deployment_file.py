"""deploymentconfig.json: computeType chooses the kind, each key goes to its field, and no key is dropped in silence."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from scoring_runtime.deploy.services.config_rules import OBJECT, hint, rows_of
from scoring_runtime.deploy.services.deployment_config import (
    AciDeployment,
    AksDeployment,
    AksEndpointDeployment,
    Deployment,
    IotDeployment,
    LocalDeployment,
)
from scoring_runtime.errors import ConfigError

__all__ = ["COMPUTE_TYPES", "check_files", "from_document", "from_file", "from_record", "record_of"]

logger = logging.getLogger(__name__)

COMPUTE_TYPES: dict[str, type[Deployment]] = {
    kind.compute_type: kind
    for kind in (LocalDeployment, AciDeployment, AksDeployment, AksEndpointDeployment, IotDeployment)
}
# Known keys without an effect, and why.
WITHOUT_EFFECT = {
    "tags": "give tags with --tag",
    "properties": "give properties with --property",
    "description": "give it with --description",
    "dataCollection.eventHubEnabled": "no host uses it",
}

Say = Callable[[str], None]


def from_file(path: str, say: Say = logger.warning) -> Any:
    """The configuration in a deploymentconfig.json; raises ConfigError. `say` is told of each key without effect."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        raise ConfigError(path, None, "a file", "Check the path given with --dc.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(path, str(error), "a JSON file", "Repair it.") from None
    return from_document(document, path, say)


def from_document(document: Any, file: str = "deployment configuration", say: Say = logger.warning) -> Any:
    """The configuration in a document that was read from `file`."""
    if not OBJECT.holds(document):
        raise ConfigError(file, document, "a JSON object", 'Write {"computeType": "local"}, for one.')
    given = document.get("computeType")
    kind = COMPUTE_TYPES.get(given.lower()) if isinstance(given, str) else None
    if kind is None:
        fix = hint(str(given).lower(), COMPUTE_TYPES).strip() if given else "Add it."
        raise ConfigError("computeType", given, f"one of {', '.join(COMPUTE_TYPES)}", fix, file)
    keys = keys_of(kind)
    rest = {key: value for key, value in document.items() if key != "computeType"}
    values = values_of(rest, keys, file, kind, say)
    paths = {name: key for key, name in keys.items()}
    try:
        config = kind(**values)
        check_files(config)
    except ConfigError as error:
        name, bracket, at = error.key.partition("[")
        raise error.within(file, paths.get(name, name) + bracket + at) from None
    return config


def keys_of(kind: type[Deployment]) -> dict[str, str]:
    """Key path -> field name."""
    return {meta["key"]: name for name, meta in rows_of(kind).items() if meta["key"]}


def has_key(kind: type[Deployment], path: str) -> bool:
    return any(key == path or key.startswith(f"{path}.") for key in keys_of(kind))


def values_of(
    document: Mapping[str, Any], keys: Mapping[str, str], file: str, kind: type[Deployment], say: Say
) -> dict[str, Any]:
    """Field name -> value. A group that is null is one that is not given."""
    groups = {key.partition(".")[0] for key in keys if "." in key}
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key in keys:
            found[keys[key]] = value
        elif key in groups and (value is None or OBJECT.holds(value)):
            for inner, inner_value in (value or {}).items():
                path = f"{key}.{inner}"
                if path in keys:
                    found[keys[path]] = inner_value
                else:
                    say(ignored(path, keys, file, kind))
        elif key in groups:
            raise ConfigError(key, value, "an object", file=file)
        else:
            say(ignored(key, keys, file, kind))
    return found


def ignored(path: str, keys: Mapping[str, str], file: str, kind: type[Deployment]) -> str:
    if path in WITHOUT_EFFECT:
        return f"{file}: {path} has no effect here: {WITHOUT_EFFECT[path]}."
    elsewhere = [name for name, other in COMPUTE_TYPES.items() if has_key(other, path)]
    if elsewhere:
        return f"{file}: {path} has no effect for {kind.compute_type}; it is a key of {', '.join(elsewhere)}."
    group = path.rpartition(".")[0]
    known = [key for key in keys if key.rpartition(".")[0] == group]
    return f"{file}: {path} is not a key of {kind.compute_type}, and has no effect.{hint(path, known or keys)}"


def check_files(config: Any) -> None:
    """That the files which the configuration names can be read, and look like PEM."""
    for name in ("ssl_cert_pem_file", "ssl_key_pem_file"):
        path = getattr(config, name, None)
        if path is None:
            continue
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError as error:
            raise ConfigError(name, path, "a file that can be read", f"{os.strerror(error.errno or 0)}.") from None
        if b"-----BEGIN" not in text:
            raise ConfigError(name, path, "a file in PEM format", "Convert it with openssl.")


def record_of(config: Deployment) -> dict[str, Any]:
    """For a service's record: every field that is set, and no secret."""
    rows = rows_of(config)
    values = {one.name: getattr(config, one.name) for one in fields(config) if not rows[one.name]["secret"]}
    return {
        "computeType": config.compute_type,
        **{name: value for name, value in values.items() if value not in (None, {}, [], "")},
    }


def from_record(record: Mapping[str, Any]) -> Any:
    """The opposite of record_of; what a newer version has written is left out."""
    kind = COMPUTE_TYPES[record["computeType"]]
    names = rows_of(kind)
    return kind(**{name: value for name, value in record.items() if name in names})
