"""Files for the owner's eyes only, without a change of what other threads write at the same time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from scoring_runtime.durable import make_folder, write_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_private_is_so_without_a_change_of_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o022)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("it is the whole process's"))
        make_folder(str(tmp_path / "secret" / "inner"), private=True)
        write_file(str(tmp_path / "secret" / "key"), b"key", private=True)
        make_folder(str(tmp_path / "open"))
        write_file(str(tmp_path / "open" / "text"), b"text")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("secret", "secret/inner", "secret/key")] == [0o700, 0o700, 0o600]
    assert [mode(tmp_path / name) for name in ("open", "open/text")] == [0o755, 0o644]
