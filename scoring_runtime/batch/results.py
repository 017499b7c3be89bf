"""What run() returned, as the bytes that its mini-batch adds to the output, in the format decided at boot."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoring_runtime.api.encode import to_json
from scoring_runtime.api.plain import is_array
from scoring_runtime.errors import BatchError

if TYPE_CHECKING:
    import pandas

__all__ = ["Encoded", "Encoder", "count", "encoder"]

COLUMN = "result"


@dataclass(frozen=True)
class Encoded:
    """Bytes of the output, and the columns that they are rows of (csv and parquet)."""

    payload: bytes
    columns: tuple[str, ...] = ()


Encoder = Callable[[Any], Encoded]


def count(result: Any) -> int:
    """How many items a result stands for. Raises BatchError for what is no collection."""
    if result is None or isinstance(result, (str, bytes, int, float, bool, dict)) or not hasattr(result, "__len__"):
        raise BatchError(
            f"run() returned {type(result).__name__}. "
            "It should return a list, a tuple, an ndarray or a DataFrame with one element for each item that succeeded."
        )
    dimensions: Any = getattr(result, "ndim", 1)
    if dimensions == 0:
        raise BatchError("run() returned an array without dimensions. It should have one element for each item.")
    return len(result)


def encoder(action: str, output_format: str, *, as_json: bool) -> Encoder:
    """`as_json`: elements that are not text are written as JSON, not as str() writes them."""
    if action == "summary_only":
        return lambda result: Encoded(b"")
    if output_format == "text":
        return json_or_text if as_json else text
    return {"csv": csv, "jsonl": jsonl, "parquet": parquet}[output_format]


def text(result: Any) -> Encoded:
    """The contract's append_row: str() of each element on a line; rows of a DataFrame with spaces, no header."""
    if hasattr(result, "to_csv") and hasattr(result, "columns"):
        return Encoded(result.to_csv(sep=" ", header=False, index=False, lineterminator="\n").encode())
    kinds = {type(element): element for element in result}  # to ask one of each, not each
    if getattr(result, "ndim", 1) > 1 or any(map(is_array, kinds.values())):
        import sys

        import numpy

        # numpy would break long rows into lines, and leave out the middle of those with a thousand values.
        with numpy.printoptions(threshold=sys.maxsize, linewidth=sys.maxsize):
            return lines([str(row).replace("\n", " ") if is_array(row) else str(row) for row in result])
    return lines(list(map(str, result)))


def json_or_text(result: Any) -> Encoded:
    return lines(
        [on_one_line(element) if isinstance(element, str) else to_json(element).decode() for element in result]
    )


def on_one_line(answer: str) -> str:
    """Text as it is; where it has lines, the same JSON without them, or as JSON."""
    if not ("\n" in answer or "\r" in answer):
        return answer
    try:
        value = json.loads(answer)
    except ValueError:
        value = answer
    return to_json(value).decode()


def jsonl(result: Any) -> Encoded:
    rows = result.to_dict(orient="records") if is_frame(result) else result
    return Encoded(b"".join(to_json(row) + b"\n" for row in rows))


def csv(result: Any) -> Encoded:
    rows = frame(result)
    if not len(rows):
        return Encoded(b"")
    return Encoded(rows.to_csv(header=False, index=False, lineterminator="\n").encode(), tuple(rows.columns))


def parquet(result: Any) -> Encoded:
    import pyarrow

    rows = frame(result)
    if not len(rows):
        return Encoded(b"")
    table = pyarrow.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Encoded(sink.getvalue(), tuple(rows.columns))


def lines(texts: list[str]) -> Encoded:
    texts.append("")
    return Encoded("\n".join(texts).encode())


def is_frame(value: Any) -> bool:
    return is_array(value) and hasattr(value, "columns")


def frame(result: Any) -> pandas.DataFrame:
    """The result as a table: dicts give named columns, tuples numbered ones, single values the column `result`."""
    import pandas

    if is_frame(result):
        return result.rename(columns=str)  # type: ignore[no-any-return]
    rows = list(result)
    if rows and isinstance(rows[0], dict):
        return pandas.DataFrame.from_records(rows).rename(columns=str)
    if rows and (isinstance(rows[0], (list, tuple)) or is_array(rows[0])):
        return pandas.DataFrame([list(row) for row in rows]).rename(columns=str)
    return pandas.DataFrame({COLUMN: rows})
