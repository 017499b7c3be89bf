"""ModelDataCollector, the older one: appends rows to CSV files, by day or by hour.

<AML_MODEL_DC_STORAGE>/<workspace>/<service>/<model>/<version>/<designation>/<yyyy>/<mm>/<dd>/<designation>.csv
"""

from __future__ import annotations

import csv
import io
import logging
import os
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

__all__ = ["ModelDataCollector"]

logger = logging.getLogger("azmlinfsrv.collector")

DESIGNATIONS = ("inputs", "predictions", "labels", "signals", "general")
OWN_FILE = ("inputs", "predictions", "labels")  # the others are named after their collection
COLUMNS = (
    "$aml_dc_correlation_id",
    "$aml_dc_scoring_timestamp",
    "$aml_dc_boundary",
    "$aml_workspace",
    "$aml_service_name",
    "$aml_model_name",
    "$aml_model_version",
    "$aml_request_id",
)

said: set[str] = set()  # warnings that were given already


def warn_once(text: str) -> None:
    if text not in said:
        said.add(text)
        logger.warning(text)


class ModelDataCollector:
    """Collects rows under a designation: inputs, predictions, labels, signals or general.

    Where storage is not enabled (AML_MODEL_DC_STORAGE_ENABLED), collect() does nothing.
    """

    def __init__(
        self,
        model_name: str,
        designation: str = "default",
        feature_names: Sequence[str] | None = None,
        workspace: str = "default/default/default",
        webservice_name: str = "default",
        model_version: str = "default",
        collection_name: str = "default",
    ) -> None:
        if not model_name:
            raise ValueError("model_name: expected the name of the model.")
        self.designation = "general" if designation == "default" else designation
        if self.designation not in DESIGNATIONS:
            raise ValueError(f"designation: expected one of {', '.join(DESIGNATIONS)}, got {designation!r}.")
        self.model_name = model_name
        self.feature_names = list(feature_names) if feature_names is not None else None
        self.workspace = workspace
        self.webservice_name = webservice_name
        self.model_version = str(model_version)
        self.collection_name = collection_name
        self.debug = truth("AML_MODEL_DC_DEBUG")
        self.hourly = os.environ.get("AML_MODEL_DC_BOUNDARY", "").lower() == "hour"
        self.folder = storage_folder()
        self.lock = threading.Lock()

    def collect(self, data: Any, user_correlation_id: str = "") -> dict[str, str]:
        """Append the rows of a list, an array or a DataFrame; for inputs, returns the ids for add_correlations()."""
        rows, names = table(data)
        correlation = user_correlation_id or new_id()
        now = datetime.now(timezone.utc)
        header = [*COLUMNS, *(self.feature_names or names)]
        fixed = [correlation, now.isoformat(), "hour" if self.hourly else "day", *self.origin(), ""]
        self.write(header, [[*fixed, *row] for row in rows], now)
        if self.designation != "inputs":
            return {}
        return {"aml_dc_correlation_id": correlation, "aml_dc_scoring_timestamp": now.isoformat()}

    def add_correlations(self, data: Any, correlations: dict[str, str]) -> Any:
        """The rows with the ids that collect() of the inputs returned, one column each, in front."""
        if hasattr(data, "columns") and hasattr(data, "insert"):
            joined = data.copy()
            for position, (name, value) in enumerate(correlations.items()):
                joined.insert(position, f"${name}", value)
            return joined
        return [[*correlations.values(), *row] for row in table(data)[0]]

    def origin(self) -> list[str]:
        return [self.workspace, self.webservice_name, self.model_name, self.model_version]

    def path(self, now: datetime) -> str:
        """The file that rows of this moment belong to."""
        name = self.designation if self.designation in OWN_FILE else self.collection_name
        moment = now.strftime("%Y/%m/%d/%H" if self.hourly else "%Y/%m/%d")
        return os.path.join(
            self.folder or "", *(part.strip("/") for part in self.origin()), self.designation, moment, f"{name}.csv"
        )

    def write(self, header: list[str], rows: list[list[Any]], now: datetime) -> None:
        if self.debug:
            print(as_csv([header, *rows]), end="")
        if self.folder is None:
            return
        path = self.path(now)
        with self.lock:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            # One write in append mode, so that rows of several workers do not mix.
            with open(path, "ab", buffering=0) as file:
                file.write(as_csv(rows if file.tell() else [header, *rows]).encode())


def as_csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def truth(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("true", "1", "yes")


def new_id() -> str:
    import uuid

    return str(uuid.uuid4())


def storage_folder() -> str | None:
    """The local folder to write to; None, said once in the log, if there is none."""
    if not truth("AML_MODEL_DC_STORAGE_ENABLED"):
        warn_once("ModelDataCollector collects nothing: set AML_MODEL_DC_STORAGE_ENABLED=true to turn it on.")
        return None
    value = os.environ.get("AML_MODEL_DC_STORAGE", "")
    if value.startswith("file://"):
        value = value.removeprefix("file://")
    if not value or "AccountName=" in value or "://" in value:
        warn_once(
            "ModelDataCollector collects nothing: it writes to a local folder, and AML_MODEL_DC_STORAGE "
            f"{'is an Azure storage account' if value else 'is not set'}. Set it to a folder that can be written to."
        )
        return None
    return value


def table(data: Any) -> tuple[list[list[Any]], list[str]]:
    """Rows, and names for their columns."""
    if hasattr(data, "toPandas"):  # a Spark DataFrame
        data = data.toPandas()
    if hasattr(data, "columns") and hasattr(data, "values"):
        return data.values.tolist(), [str(name) for name in data.columns]
    if hasattr(data, "tolist"):
        data = data.tolist()
    if not isinstance(data, (list, tuple)):
        kind = type(data).__name__
        raise TypeError(f"collect(): expected a list, an array or a DataFrame, got {kind}. Wrap it in a list.")
    nested = any(isinstance(row, (list, tuple)) for row in data)
    rows = [list(row) if isinstance(row, (list, tuple)) else [row] for row in data] if nested else [list(data)]
    return rows, [str(position) for position in range(max(map(len, rows), default=0))]
