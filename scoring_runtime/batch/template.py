"""init() once for all workers: a template process loads the model, and each worker is a fork of it.

The model's memory is shared until someone writes to it. Meant for scripts whose libraries survive a fork after init():
scikit-learn, XGBoost, LightGBM and plain Python do, a CUDA context or a started thread pool does not.

    parent -> template   (fork order with the worker's socket)        template -> parent   ("forked", pid) ("ended", ...)
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from scoring_runtime.batch.job import Job
from scoring_runtime.batch.logs import LogTree
from scoring_runtime.batch.worker import Worker, die_with_parent, guarded, prepared

__all__ = ["main"]
