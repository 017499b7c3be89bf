"""What a batch run is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scoring_runtime.errors import SettingsError

__all__ = ["FORMATS", "Job", "Size"]

FORMATS = ("auto", "files", "csv", "jsonl", "parquet", "arrow")
CHOICES = {
    "input_format": FORMATS,
    "style": ("auto", "mini-batch", "online"),
    "output_action": ("append_row", "summary_only"),
    "output_format": ("text", "csv", "jsonl", "parquet"),
    "logging_level": ("DEBUG", "INFO", "WARNING"),
    "profiling_module": ("", "cProfile"),
}
FORBIDDEN_IN_FILE_NAMES = set('~"#%&*:<>?/\\{|}')
SIZE = re.compile(r"(\d+)\s*(?:([kmg])?(b))?", re.IGNORECASE)
UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True)
class Size:
    """How much goes into one mini-batch: a number of items (files, rows), or of bytes."""

    amount: int
    in_bytes: bool

    @classmethod
    def parse(cls, text: str | int, name: str = "mini_batch_size") -> Size:
        """`100` is items; `64kb`, `1MB`, `500b` are bytes."""
        match = SIZE.fullmatch(str(text).strip())
        if match is None or int(match[1]) < 1:
            raise SettingsError(name, text, "a number of items such as 100, or of bytes such as 64KB or 1MB")
        return cls(int(match[1]) * UNITS[(match[2] or "").lower()], bool(match[3]))

    def __str__(self) -> str:
        return f"{self.amount}b" if self.in_bytes else str(self.amount)


@dataclass(frozen=True)
class Job:
    """One batch run. Everything that can change its result is in `identity()`; the rest is how fast and how patient."""

    script: str
    inputs: tuple[str, ...]
    output: str
    input_format: str = "auto"
    style: str = "auto"
    mini_batch_size: str = ""
    partition_keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    #: The columns of CSV files without a header line; ("none",) numbers them.
    header: tuple[str, ...] = ()
    output_action: str = "append_row"
    output_format: str = "text"
    output_file: str = ""
    arguments: tuple[str, ...] = ()
    side_inputs: tuple[tuple[str, str], ...] = ()
    model_dir: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    error_threshold: int = -1
    allowed_failed_count: int = -1
    allowed_failed_percent: float = 100.0
    run_timeout_seconds: float = 60.0
    read_timeout_seconds: float = 600.0
    max_tries: int = 3
    processes: int = 0
    share_model: bool = False
    logging_level: str = "INFO"
    monitor_interval_seconds: float = 600.0
    profiling_module: str = ""

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(name, getattr(self, name), f"one of {', '.join(filter(None, choices))}")
        self._check_range("error_threshold", -1)
        self._check_range("allowed_failed_count", -1)
        self._check_range("allowed_failed_percent", 0, 100)
        self._check_range("max_tries", 1)
        self._check_range("processes", 0)
        if not self.run_timeout_seconds > 0:
            raise SettingsError("run_invocation_timeout", self.run_timeout_seconds, "seconds, more than 0")
        if not self.read_timeout_seconds > 0:
            raise SettingsError("read_timeout", self.read_timeout_seconds, "seconds, more than 0")
        self._check_range("monitor_interval_seconds", 0)
        if self.output.startswith("file://"):  # a folder of this machine, with a folder's locks
            object.__setattr__(self, "output", self.output[len("file://") :])
        if "://" in self.output and self.output_action == "summary_only":
            raise SettingsError("output", self.output, "a folder, as the script writes into it (summary_only)")
        if self.output.startswith("memory://"):
            raise SettingsError("output", self.output, "a place that other processes see too")
        if not self.inputs:
            raise SettingsError("input", "nothing", "a file, a folder, a glob or a URL")
        if self.mini_batch_size:
            Size.parse(self.mini_batch_size)
            if self.partition_keys:
                raise SettingsError(
                    "partition_keys",
                    ", ".join(self.partition_keys),
                    "no mini_batch_size beside it",
                    "Give one of them.",
                )
        if FORBIDDEN_IN_FILE_NAMES & set(self.output_file) or self.output_file in (".", ".."):
            raise SettingsError("append_row_file_name", self.output_file, 'a file name without ~"#%&*:<>?/\\{|}')

    def _check_range(self, name: str, low: float, high: float = float("inf")) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            expected = f"a number from {low}" + (f" to {high}" if high != float("inf") else " on")
            raise SettingsError(name, value, expected)

    @property
    def file_name(self) -> str:
        endings = {"text": "txt", "csv": "csv", "jsonl": "jsonl", "parquet": "parquet"}
        return self.output_file or f"parallel_run_step.{endings[self.output_format]}"

    def size(self, kind: str) -> Size:
        """What was asked for, or the contract's default: 10 files, or 1 MB of a table."""
        if self.mini_batch_size:
            return Size.parse(self.mini_batch_size)
        return Size(10, False) if kind == "files" else Size(UNITS["m"], True)

    def identity(self, script_digest: str) -> dict[str, Any]:
        """What a resumed run must have in common with the run that it continues."""
        return {
            "script": script_digest,
            "style": self.style,
            "arguments": list(self.arguments),
            "side_inputs": [list(pair) for pair in self.side_inputs],
            "model_dir": self.model_dir,
            "environment": [list(pair) for pair in self.environment],
            "input_format": self.input_format,
            "mini_batch_size": self.mini_batch_size,
            "partition_keys": list(self.partition_keys),
            "columns": list(self.columns),
            "header": list(self.header),
            "output_action": self.output_action,
            "output_format": self.output_format,
            "output_file": self.file_name,
        }

    def script_arguments(self) -> list[str]:
        """What the script finds in sys.argv[1:]."""
        named = [text for name, path in self.side_inputs for text in (f"--{name}", path)]
        return [*self.arguments, *named]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Job:
        """The same job from its JSON form, in which tuples have become lists."""
        return cls(**{name: frozen(value) for name, value in values.items()})

    def script_folder(self) -> str:
        return os.path.dirname(os.path.abspath(self.script))


def frozen(value: Any) -> Any:
    return tuple(frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
