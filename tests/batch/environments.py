"""Virtual environments with an engine, for the tests that start one for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["environment_of"]

PACKAGES = {
    "s3": ["s3fs", "moto[server]", "pandas"],
    "ray": ["ray>=2.40", "pandas"],
    "spark": ["pyspark>=3.5", "pandas<3", "inference-schema[pyspark-support]", "azureml-inference-server-http==1.5.1"],
}
OURS = ["pyarrow", "orjson", "numpy", "inference-schema", "pyyaml", "starlette", "uvicorn", "uvloop", "httptools"]


def environment_of(engine: str, folder: Path) -> Path:
    """The Python of $SCORING_<ENGINE>_PYTHON, else of an environment made in the folder: with uv where it is there."""
    given = os.environ.get(f"SCORING_{engine.upper()}_PYTHON")
    if given:
        return Path(given)
    python = folder / engine / "bin" / "python"
    packages = [*OURS, "gunicorn", "python-dateutil", *PACKAGES[engine]]
    if shutil.which("uv"):
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(folder / engine)], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), *packages], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder / engine)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return python
