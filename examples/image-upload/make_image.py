"""Draws the picture that the request uploads: python make_image.py [path]"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image


def main(path: Path) -> None:
    image = Image.new("RGB", (64, 32), (255, 0, 0))
    image.paste((0, 0, 255), (32, 0, 64, 32))
    image.save(path)
    print(f"Wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "image.png"))
