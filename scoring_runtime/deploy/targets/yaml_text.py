"""Documents as YAML that people like to read: keys in their order, long lines whole, JSON's values only."""

from __future__ import annotations

from typing import Any

from scoring_runtime.errors import TargetError

__all__ = ["yaml_text"]


def yaml_text(document: Any) -> str:
    try:
        import yaml
    except ImportError:
        raise TargetError("To write YAML: pip install pyyaml") from None
    dumper = type("Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    return str(yaml.dump(document, Dumper=dumper, sort_keys=False, width=1000, allow_unicode=True))
