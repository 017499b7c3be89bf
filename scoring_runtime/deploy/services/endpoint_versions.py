"""The versions of an endpoint and their shares of its requests: a table, and the rules for changing it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scoring_runtime.deploy.services.config_rules import whole
from scoring_runtime.deploy.services.service import Service, Version
from scoring_runtime.errors import ConfigError

__all__ = ["table_of", "with_version", "without_version"]

MOST_VERSIONS = 6
PERCENT = whole(0, 100)
Table = dict[str, Version]


def table_of(endpoint: Service) -> Table:
    """Its versions by name. The one that it was deployed with is the default, until another one is."""
    first = endpoint.deployment.version_name or endpoint.name
    share = endpoint.deployment.traffic_percentile or 0
    return dict(endpoint.versions) or {first: Version(endpoint.name, share, is_default=True)}


def with_version(
    table: Mapping[str, Version],
    name: str,
    service: str,
    traffic_percentile: int | None = None,
    is_default: bool | None = None,
    is_control_version_type: bool | None = None,
) -> Table:
    """With one more, or one changed; None: as it is. There is one default and at most one control version."""
    if name not in table and len(table) >= MOST_VERSIONS:
        fix = f"Delete one first: delete_version(), one of {', '.join(table)}."
        raise ConfigError("version_name", name, f"at most {MOST_VERSIONS} versions in an endpoint", fix)
    before = table.get(name, Version(service))
    if is_default is False and before.is_default:
        raise ConfigError("is_default", False, "one default version", "Make another version the default instead.")
    if traffic_percentile is not None and not PERCENT.holds(traffic_percentile):
        raise ConfigError("traffic_percentile", traffic_percentile, PERCENT.expected)
    others = {
        one: replace(
            version,
            is_default=version.is_default and not is_default,
            is_control=version.is_control and not is_control_version_type,
        )
        for one, version in table.items()
    }
    changed = replace(
        before,
        traffic=before.traffic if traffic_percentile is None else traffic_percentile,
        is_default=before.is_default if is_default is None else is_default,
        is_control=before.is_control if is_control_version_type is None else is_control_version_type,
    )
    result = {**others, name: changed}
    if sum(version.traffic for version in result.values()) > 100:
        shown = ", ".join(f"{one} {version.traffic} %" for one, version in result.items())
        raise ConfigError(
            "traffic_percentile", changed.traffic, f"at most 100 % in all ({shown})", "Lower another one."
        )
    return result


def without_version(endpoint: Service, name: str) -> Table:
    """Without one: its share goes to the default version."""
    table = table_of(endpoint)
    if name not in table:
        raise ConfigError("version_name", name, f"a version of {endpoint.name}: {', '.join(table)}")
    if table[name].is_default:
        raise ConfigError("version_name", name, "not the default version", "Make another one the default first.")
    if table[name].service == endpoint.name:
        fix = "Leave it with traffic_percentile=0, or delete the endpoint."
        raise ConfigError("version_name", name, "not the version that the endpoint was deployed with", fix)
    return {one: version for one, version in table.items() if one != name}
