"""`from azureml_user.parallel_run import EntryScript`: what a batch script asks about the process that it runs in."""

from __future__ import annotations

import logging
import os

__all__ = ["EntryScript"]


class EntryScript:
    """One object for the process, however often it is made."""

    _only: EntryScript | None = None

    def __new__(cls) -> EntryScript:
        if cls._only is None:
            cls._only = super().__new__(cls)
            cls._only._logger = None
        return cls._only

    _logger: logging.Logger | None

    @property
    def log_dir(self) -> str:
        """Where the script may write files of its own about this run; made when it is asked for."""
        return made(os.environ.get("SCORING_BATCH_LOG_DIR") or os.path.join("logs", "user", "entry_script_log"))

    @property
    def output_dir(self) -> str:
        """Where the script may write output of its own: AZUREML_BI_OUTPUT_PATH."""
        return made(os.environ.get("AZUREML_BI_OUTPUT_PATH") or "outputs")

    @property
    def agent_name(self) -> str:
        """The name of this process, such as process000."""
        return os.environ.get("SCORING_BATCH_PROCESS", "process000")

    @property
    def working_dir(self) -> str:
        """The folder that the script runs in."""
        return os.getcwd()

    @property
    def logger(self) -> logging.Logger:
        """Writes to <log_dir>/<agent_name>.log.txt, from the run's logging level on."""
        if self._logger is None:
            logger = logging.getLogger("azureml_user.parallel_run")
            handler = logging.FileHandler(os.path.join(self.log_dir, f"{self.agent_name}.log.txt"))
            handler.setFormatter(logging.Formatter("%(asctime)s|%(levelname)s|%(process)d|%(message)s"))
            logger.addHandler(handler)
            logger.setLevel(os.environ.get("SCORING_BATCH_LOGGING_LEVEL", "INFO"))
            self._logger = logger
        return self._logger


def made(folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    return folder
