"""Writes the smallest of the models that come with onnxruntime: python make_model.py [folder]"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from onnxruntime.datasets import get_example


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(get_example("mul_1.onnx"), folder / "mul.onnx")
    print(f"Wrote {folder / 'mul.onnx'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "model"))
