"""One virtual environment a server, cached under .cache/benchmarks, from one table of pinned versions."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["CACHE", "PINS", "ROOT", "ensure", "versions"]

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "benchmarks"

DATA = ("numpy==2.4.6", "pandas==3.1.1")
PINS: Mapping[str, tuple[str, ...]] = {
    "ours": ("--editable", f"{ROOT}[pandas,fast-json]", *DATA, "gunicorn==27.0.1", "inference-schema==1.8"),
    "azmlinfsrv": ("azureml-inference-server-http==1.5.1", *DATA, "gunicorn==27.0.1", "inference-schema==1.8"),
    "uvicorn-bare": ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "orjson==3.13.0", *DATA),
    "fastapi": ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", *DATA),
    "litserve": ("litserve==0.2.19", *DATA),
    "bentoml": ("bentoml==1.4.39", *DATA),
    "mlserver": ("mlserver==1.7.1", "uvloop<0.22", *DATA),
}


def ensure(name: str, say: Callable[[str], None]) -> Path:
    """The interpreter of the server's environment, installed first if it is missing or was made from other pins."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    stamp = folder / "installed-from"
    wanted = _fingerprint(name)
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"installing {name} into {folder.relative_to(ROOT)} ...")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *PINS[name]], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"could not install {name} (pip ended with {done.returncode}):\n{done.stderr[-3000:]}")
    stamp.write_text(wanted)
    return python


def _fingerprint(name: str) -> str:
    parts = [sys.version, *PINS[name]]
    if name == "ours":
        parts.append((ROOT / "pyproject.toml").read_text())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def versions(python: Path) -> dict[str, str]:
    """Every distribution in an environment and its version, Python itself included."""
    program = (
        "import importlib.metadata as m, json, platform\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({'python': platform.python_version(), **dict(sorted(found.items()))}))"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
