"""One of several that use a workspace at the same time: `python -m tests.deploy.crowding WORKSPACE FOLDER NUMBER`.

Registers, verifies and deletes models of one shared name; prints the ids of those that it has left there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scoring_runtime.deploy import Model, Workspace

ROUNDS = 12


def main(ws: Workspace, folder: Path, number: str) -> None:
    source = folder / f"file-{number}"
    for turn in range(ROUNDS):
        text = f"{number} {turn // 3}"  # the same contents come and go
        source.write_text(text)
        model = Model.register(ws, str(source), "crowd", {"by": number})
        path = Path(model.download(str(folder / f"out-{number}"), exist_ok=True))
        assert path.read_text() == text
        model.add_tags({"turn": str(turn)})
        if turn % 3:
            model.delete()
        else:
            print(model.id)


if __name__ == "__main__":
    main(Workspace(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
