"""Requirements to wheels, by uv or pip: for another platform and Python too, never running what it finds."""

from __future__ import annotations

import importlib.util
import json
import os
import platform as this_machine
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from scoring_runtime.deploy.environments.pip_lines import masked
from scoring_runtime.errors import MissingPackage, ResolutionError

if TYPE_CHECKING:
    from packaging.tags import Tag

__all__ = ["PLATFORMS", "LockedPackage", "resolve"]

# As images name it -> as wheels and uv name it. glibc 2.31 or newer: Debian 11, Ubuntu 20.04, RHEL 9.
PLATFORMS = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
GLIBC = 31
SECONDS = 300


@dataclass(frozen=True, order=True)
class LockedPackage:
    """One wheel."""

    name: str
    version: str
    file: str
    sha256: str
    url: str = field(default="", repr=False)  # where it can be had, perhaps with a login; empty for our own


def resolve(lines: Sequence[str], options: Sequence[str], python: str, platform: str) -> list[LockedPackage]:
    """The wheels for these requirements, sorted. Raises ResolutionError, which names a wheel that does not exist."""
    if platform not in PLATFORMS:
        raise ResolutionError(f"platform: expected {' or '.join(PLATFORMS)}, got {platform!r}. Choose one of them.")
    if not lines:
        return []
    with tempfile.TemporaryDirectory(prefix="scoring-lock-") as folder:
        with open(os.path.join(folder, "requirements.in"), "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in (*options, *lines)))
        uv = find_uv()
        if uv is not None:
            return with_logins(by_uv(uv, folder, python, platform), options)
        if (python, PLATFORMS[platform]) != ("{}.{}".format(*sys.version_info), this_machine.machine()):
            raise MissingPackage(f"Locks for Python {python} on {platform} from here", "uv", "deploy")
        if importlib.util.find_spec("pip") is None:
            raise MissingPackage("Locks", "uv", "deploy")
        return with_logins(by_pip(folder, platform), options)


def with_logins(packages: Sequence[LockedPackage], options: Sequence[str]) -> list[LockedPackage]:
    """Sorted; what lies on the host of an index is fetched with the user and password of that index."""
    indexes = [urlsplit(word) for option in options for word in re.split(r"[\s=]+", option) if "://" in word]
    logins = {parts.netloc.rpartition("@")[2]: parts.netloc for parts in indexes if "@" in parts.netloc}
    parts_of = {package: urlsplit(package.url) for package in packages}
    return sorted(
        replace(package, url=urlunsplit(parts._replace(netloc=logins.get(parts.netloc, parts.netloc))))
        for package, parts in parts_of.items()
    )


def find_uv() -> str | None:
    beside = os.path.join(os.path.dirname(sys.executable), "uv")
    return beside if os.access(beside, os.X_OK) else shutil.which("uv")


def by_uv(uv: str, folder: str, python: str, platform: str) -> list[LockedPackage]:
    tag = f"{PLATFORMS[platform]}-manylinux_2_{GLIBC}"
    command = [uv, "pip", "compile", "requirements.in", "--output-file", "pylock.toml", "--quiet", "--color", "never"]
    command += [
        "--python-version",
        python,
        "--python-platform",
        tag,
        "--only-binary",
        ":all:",
        "--no-header",
        "--no-python-downloads",
    ]
    done = ran(command, folder)
    if done.returncode:
        raise ResolutionError(explained(done.stderr, python, platform))
    with open(os.path.join(folder, "pylock.toml"), "rb") as file:
        document = toml().load(file)
    return [from_pylock(package, folder, python, platform) for package in document.get("packages", [])]


def toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise MissingPackage("Locks", "tomli", "deploy") from None
    return tomllib


def from_pylock(package: Mapping[str, Any], folder: str, python: str, platform: str) -> LockedPackage:
    wheels = package.get("wheels") or ([package["archive"]] if "archive" in package else [])
    wheel = best([one for one in wheels if file_name(one).endswith(".whl")], python, platform)
    if wheel is None:
        raise ResolutionError(
            f"{package['name']} {package.get('version', '')} has no wheel for {platform}. Name a version that is "
            "published as one."
        )
    url = wheel.get("url") or f"file://{os.path.abspath(os.path.join(folder, wheel['path']))}"
    name = re.sub(r"[-_.]+", "-", package["name"]).lower()
    version = package.get("version") or file_name(wheel).split("-")[1]
    return LockedPackage(name, version, file_name(wheel), wheel["hashes"]["sha256"], url)


def best(wheels: Sequence[Mapping[str, Any]], python: str, platform: str) -> Mapping[str, Any] | None:
    """The wheel that an installer on the target would choose."""
    from packaging.utils import parse_wheel_filename

    rank = {tag: at for at, tag in enumerate(target_tags(python, platform))}
    ranked = [
        (min(rank[tag] for tag in tags), file_name(wheel), wheel)
        for wheel in wheels
        if (tags := parse_wheel_filename(file_name(wheel))[3] & rank.keys())
    ]
    return min(ranked, key=lambda one: one[:2])[2] if ranked else None


def target_tags(python: str, platform: str) -> Iterator[Tag]:
    """From the most specific to the most general."""
    machine = PLATFORMS[platform]
    version = [int(part) for part in python.split(".")]
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)]
    platforms = [*names, *(f"manylinux{year}_{machine}" for year in (2014, 2010, 1)), f"linux_{machine}"]
    from packaging.tags import compatible_tags, cpython_tags

    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, f"cp{''.join(map(str, version))}", platforms)


def file_name(wheel: Mapping[str, Any]) -> str:
    return unquote(urlsplit(wheel.get("url") or wheel["path"]).path).rpartition("/")[2]


def by_pip(folder: str, platform: str) -> list[LockedPackage]:
    """pip judges markers by the Python that it runs on, so this is for that one only."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    command += ["--dry-run", "--ignore-installed", "--only-binary", ":all:", "--report", "report.json"]
    done = ran([*command, "-r", "requirements.in"], folder)
    if done.returncode:
        python = "{}.{}".format(*sys.version_info)
        raise ResolutionError(explained(done.stderr, python, platform))
    with open(os.path.join(folder, "report.json"), "rb") as file:
        report = json.load(file)
    return [from_report(one) for one in report["install"]]


def from_report(item: Mapping[str, Any]) -> LockedPackage:
    url = item["download_info"]["url"]
    return LockedPackage(
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(),
        item["metadata"]["version"],
        unquote(urlsplit(url).path).rpartition("/")[2],
        item["download_info"]["archive_info"]["hashes"]["sha256"],
        url,
    )


def ran(command: Sequence[str], folder: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ResolutionError(
            f"The package index did not answer for {SECONDS} s. Check the network, and --index-url if one is given."
        ) from None


MISSING = (  # uv's words, and what they are about
    (r"available for `([^`]+)` \(v?([^)]+)\) on the following platforms?: ((?:`[^`]+`(?:, )?)+)", "{platform}"),
    (r"wheels for `([^`]+)` \(v?([^)]+)\) with the following Python [^:]*: ((?:`[^`]+`(?:, )?)+)", "Python {python}"),
    (r"wheels for `([^`]+)` \(v?([^)]+)\) with the following platform [^:]*: ((?:`[^`]+`(?:, )?)+)", "{platform}"),
)


def explained(said: str, python: str, platform: str) -> str:
    """The missing wheel and what exists instead, else the tool's own words."""
    text = re.sub(r"\s+", " ", said).strip()
    text = masked(text)
    for pattern, about in MISSING:
        if found := re.search(pattern, text):
            wanted = about.format(python=python, platform=platform)
            exist = found[3].replace("`", "").rstrip(", ")
            return (
                f"{found[1]} {found[2]} has no wheel for {wanted}; there are wheels for: {exist}. Choose another "
                f"version of {found[1]}, another Python or platform, or build the image from a Dockerfile."
            )
    if found := re.search(r"Because (?:all versions of )?([\w.-]+)(\S*) (?:has|have) no usable wheels", text):
        name = found[1] + (found[2] if found[2].startswith("==") else "")
        return (
            f"{name} is published without wheels, and nothing is built here. Build one: pip wheel --no-deps -w wheels "
            f"'{name}'; then add the option --find-links with the absolute path of that folder to the pip packages."
        )
    if found := re.search(r"Couldn't parse requirement in `[^`]*` at position \d+ cause: (.*)", text):
        return f"A pip line cannot be read: {found[1]} Write it as NAME==VERSION, or NAME @ URL."
    if "uilding source distributions" in text and "disabled" in text:
        what = re.search(r"for `([^`]+)` is disabled", text)
        return (
            f"{what[1] if what else 'One of the pip lines'} is source, and nothing is built here. Build a wheel of it: "
            "pip wheel --no-deps -w wheels SOURCE; then name that file, or its folder by --find-links, absolutely."
        )
    return (
        f"No wheels fit Python {python} on {platform}: {text.removeprefix('error: ')} "
        "Change the versions that are required, or the Python."
    )
