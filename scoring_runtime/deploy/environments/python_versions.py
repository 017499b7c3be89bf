"""Which versions of Python an environment takes: `python=3.11` is one, `python>=3.10,<3.13` are several."""

from __future__ import annotations

import re

__all__ = ["DEFAULT_PYTHON", "KNOWN", "OLDEST_PYTHON", "taken_by", "version_of"]

OLDEST_PYTHON = (3, 10)
KNOWN = ("3.10", "3.11", "3.12", "3.13", "3.14")
DEFAULT_PYTHON = "3.11"
CLAUSE = re.compile(r"(>=|<=|!=|~=|==|=|>|<|)(\d+)(?:\.(\d+))?")


def version_of(written: str) -> tuple[int, int] | None:
    """Of "3.11" or "3.11.4": the one version that is meant; None for a range, or for "3"."""
    found = re.fullmatch(r"(\d+)\.(\d+)(?![^,]*,)(?:[.=*].*|[a-z].*)?", written)
    return (int(found[1]), int(found[2])) if found else None


def taken_by(written: str) -> tuple[str, ...]:
    """Those of KNOWN that a range takes, by major and minor version: 3.11.2 is taken by <=3.11, as it is meant."""
    clauses = [CLAUSE.match(part) for part in written.split(",")]
    return tuple(version for version in KNOWN if all(clause is None or takes(clause, version) for clause in clauses))


def takes(clause: re.Match[str], version: str) -> bool:
    operator, major, minor = clause.groups()
    mine = tuple(map(int, version.split(".")))
    bound = (int(major), int(minor)) if minor else (int(major),)
    if operator in (">=", ">", "~="):
        return mine >= bound and (operator != "~=" or mine[0] == bound[0])
    if operator == "<":
        return mine < bound
    if operator == "<=":
        return mine[: len(bound)] <= bound
    return (mine[: len(bound)] == bound) == (operator != "!=")
