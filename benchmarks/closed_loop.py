"""Closed loop: wrk with a fixed number of connections, each sending its next request when the last was answered."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["WrkMissing", "find_wrk", "load", "parse"]

MARK = "benchmark-result "
SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "{content_type}"
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{mark}{{"requests":%d,"seconds":%f,"p50_ms":%f,"p90_ms":%f,"p99_ms":%f,'..
    '"non_2xx":%d,"socket_errors":%d,"timeouts":%d}}\\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(90) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
"""


class WrkMissing(Exception):
    """wrk is not on PATH."""

    def __init__(self) -> None:
        super().__init__("the closed loop needs wrk, which is not on PATH; install it with: apt-get install wrk")


def find_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise WrkMissing
    return found


def load(url: str, body: bytes, content_type: str, seconds: float, connections: int) -> dict[str, Any]:
    """One round; its `void` says why it does not count, or is None."""
    with tempfile.TemporaryDirectory() as folder:
        body_file, script = Path(folder, "body"), Path(folder, "post.lua")
        body_file.write_bytes(body)
        script.write_text(SCRIPT.format(body=body_file, content_type=content_type, mark=MARK))
        whole_seconds = max(1, round(seconds))
        command = [
            find_wrk(),
            "-t1",
            f"-c{connections}",
            f"-d{whole_seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(script),
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=whole_seconds + 30, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout)


def parse(output: str) -> dict[str, Any]:
    """wrk's own counts, the rate, and whether the round counts."""
    line = next(line for line in output.splitlines() if line.startswith(MARK))
    result: dict[str, Any] = json.loads(line.removeprefix(MARK))
    bad = {key: result[key] for key in ("non_2xx", "socket_errors", "timeouts") if result[key]}
    result["requests_per_second"] = round(result["requests"] / result["seconds"], 2)
    result["void"] = ", ".join(f"{count} {key}" for key, count in bad.items()) or None
    if not result["requests"]:
        result["void"] = result["void"] or "no answer at all"
    return result
