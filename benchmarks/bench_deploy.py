"""How long it takes from `scoring deploy` to the first score of the service, with a warm environment.

Method: a new service each time, from a shell command to the answer of POST /score, which a client asks for every 5 ms
from the moment the command ends. Its Python starts inside of what is measured; the packages are there, as the script
needs none. Also: the time until callers get the answers of the next version, with `scoring service reload`.

    python -m benchmarks.bench_deploy [--rounds 7] [--write docs/benchmarks/deploy.json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.deployer_tables import deploy_table
from benchmarks.machine import describe

SCORING = [sys.executable, "-c", "from scoring_runtime.cli.main import main; main()"]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def scoring(folder: Path, *arguments: str) -> str:
    environ = {**os.environ, "SCORING_WORKSPACE": str(folder / "workspace")}
    done = subprocess.run([*SCORING, *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def answer_of(uri: str, wanted: object) -> None:
    """Ask until it says that."""
    while True:
        try:
            with OPENER.open(urllib.request.Request(uri, b"{}"), timeout=5) as response:
                if json.load(response) == wanted:
                    return
        except OSError:
            pass
        time.sleep(0.005)


def write(folder: Path, version: int) -> None:
    (folder / "score.py").write_text(f"def init(): pass\ndef run(raw_data): return {version}\n")


def measure(folder: Path, number: int) -> tuple[float, float]:
    """Seconds of a deploy and of a reload."""
    name = f"bench-{number}"
    write(folder, 1)
    began = time.monotonic()
    document = json.loads(scoring(folder, "deploy", "score.py", "-n", name, "--json"))
    uri = document["scoring_uri"].replace("localhost", "127.0.0.1")
    answer_of(uri, 1)
    deployed = time.monotonic() - began
    write(folder, 2)
    began = time.monotonic()
    scoring(folder, "service", "reload", name)
    answer_of(uri, 2)
    reloaded = time.monotonic() - began
    scoring(folder, "service", "delete", name)
    return deployed, reloaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", metavar="FILE", help="keep the results as JSON")
    arguments = parser.parse_args()
    machine = describe()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        measure(folder, 0)  # files in the page cache
        pairs = [measure(folder, number) for number in range(1, arguments.rounds + 1)]
    deploys, reloads = zip(*pairs, strict=True)
    results = {"machine": machine, "deploy": deploys, "reload": reloads}
    if arguments.write:
        Path(arguments.write).write_text(json.dumps(results, indent=1) + "\n")
    print(deploy_table(results))


if __name__ == "__main__":
    main()
