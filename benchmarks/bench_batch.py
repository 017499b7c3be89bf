"""How fast is a batch run, against a loop written by hand and against Ray Data's map_batches, on the same work?

Work      a CSV file of 20 numbers a row; a scikit-learn model; one line of output for each row
            linear   StandardScaler + LogisticRegression, ROWS rows: reading the file is most of it
            forest   RandomForestClassifier, 40 trees, one thread, ROWS / 4 rows: the model is most of it
Rivals    loop     pandas.read_csv(chunksize=) -> model.predict_proba -> file.write, one process, no safety at all
          ours-N   `scoring batch run`, N processes, every mini-batch synced to disk, from start to assembled output
          share-2  the same with --share-model: init(), and the imports that it needs, once for both processes
          ray      ray.data.read_csv -> map_batches(an actor pool of 2) -> write_csv; --ray-python names its interpreter
Method    every rival is a fresh process, timed from its start to its end, imports and worker start-up included. The
          rivals in turn, REPEATS rounds, and in each round once with a file of one mini-batch, once with the whole:
          the first is the start, and rows over the difference is the rate that a longer input approaches. The best
          of the rounds (other work on the machine can only slow one down), the range, the machine's load, and the
          processor seconds of the whole and of the start, which other work changes little.
          The outputs of loop and ours are compared as numbers, to 12 digits: pandas.read_csv, unlike float(), rounds
          the last one.

    python -m benchmarks.bench_batch [--rows 4000000] [--repeats 2] [--ray-python PATH]       less than four minutes
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy

FEATURES = 20
CHUNK_ROWS = 5500  # about a megabyte, as a mini-batch has by default
ROOT = str(Path(__file__).parents[1])

PREPARE = """
import sys, pickle, numpy
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
folder, rows = sys.argv[1], int(sys.argv[2])
chance = numpy.random.default_rng(7)
x = chance.normal(size=(5000, 20)).round(6)
y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
models = {
    "linear": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(40, max_depth=8, n_jobs=1, random_state=7),
}
for name, model in models.items():
    with open(f"{folder}/{name}.pkl", "wb") as file:
        pickle.dump(model.fit(x, y), file)
import io
block = io.BytesIO()
numpy.savetxt(block, chance.normal(size=(50000, 20)), fmt="%.6f", delimiter=",")
lines = block.getvalue().splitlines(keepends=True)
for name, size in ("linear", rows), ("forest", rows // 4), ("start", 5500):
    with open(f"{folder}/{name}.csv", "wb") as file:
        file.write(",".join(f"x{n}" for n in range(20)).encode() + b"\\n")
        for start in range(0, size, 50000):
            file.write(b"".join(lines[: size - start]))
"""

SCRIPT = """
import os, pickle

def init():
    global model
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], os.environ["MODEL"] + ".pkl"), "rb") as file:
        model = pickle.load(file)

def run(mini_batch):
    return model.predict_proba(mini_batch.to_numpy())[:, 1].tolist()
"""

LOOP = """
import sys, pickle, pandas
folder, name, chunk, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
with open(f"{folder}/{name}.pkl", "rb") as file:
    model = pickle.load(file)
with open(f"{folder}/loop.txt", "w") as out:
    for frame in pandas.read_csv(data, chunksize=chunk):
        for value in model.predict_proba(frame.to_numpy())[:, 1].tolist():
            out.write(f"{value}\\n")
"""

RAY = """
import sys, pickle, ray
folder, name, chunk, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False

class Score:
    def __init__(self):
        with open(f"{folder}/{name}.pkl", "rb") as file:
            self.model = pickle.load(file)

    def __call__(self, frame):
        import pandas
        return pandas.DataFrame({"p": self.model.predict_proba(frame.to_numpy())[:, 1]})

data = ray.data.read_csv(data)
pool = ray.data.ActorPoolStrategy(size=2)
data = data.map_batches(Score, batch_format="pandas", batch_size=chunk, compute=pool, num_cpus=0.5)
data.write_csv(f"{folder}/ray-{name}")
"""


def commands(folder: str, work: str, data: str, ray_python: str | None) -> dict[str, list[str]]:
    main = "from scoring_runtime.cli.main import main; main()"
    ours = [sys.executable, "-c", main, "batch", "run", f"{folder}/score.py", "--input", data, "--model-dir", folder]
    ours += ["--restart", "--json", "--output-file", "lines.txt", "--mini-batch-size", str(CHUNK_ROWS)]
    result = {
        "loop": [sys.executable, "-c", LOOP, folder, work, str(CHUNK_ROWS), data],
        "ours-1": [*ours, "--processes", "1", "--output", f"{folder}/ours-1"],
        "ours-2": [*ours, "--processes", "2", "--output", f"{folder}/ours-2"],
        "share-2": [*ours, "--processes", "2", "--output", f"{folder}/share-2", "--share-model"],
    }
    if ray_python:
        result["ray"] = [ray_python, "-c", RAY, folder, work, str(CHUNK_ROWS), data]
    return result


class Took(NamedTuple):
    """Of a command: seconds of the clock, and of processors, its own and its children's."""

    seconds: float
    cpu: float


def timed(argv: list[str], work: str) -> Took:
    environ = {**os.environ, "MODEL": work, "PYTHONPATH": ROOT, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    if "ray.init" in argv[2]:
        environ["HOME"] = argv[3]
        shutil.rmtree(f"{argv[3]}/ray-{work}", ignore_errors=True)
    began, before = time.perf_counter(), cpu_of_children()
    done = subprocess.run(argv, env=environ, capture_output=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{argv[:3]}: exit code {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return Took(seconds, cpu_of_children() - before)


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--ray-python")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder:
        subprocess.run([sys.executable, "-c", PREPARE, folder, str(arguments.rows)], check=True)
        Path(folder, "score.py").write_text(SCRIPT)
        table = [line for work in ("linear", "forest") for line in compare(folder, work, arguments)]
    print(f"\n{os.cpu_count()} CPUs, Python {platform.python_version()}, best of {arguments.repeats}")
    print(HEAD, *table, sep="\n")


HEAD = (
    "work    rival       rows/s  x loop   rows/s beyond the start  x loop    seconds (range)    start      load"
    "    cpu s (start)\n" + "-" * 121
)


def compare(folder: str, work: str, arguments: argparse.Namespace) -> list[str]:
    """The lines of the table, which are also printed as they come."""
    data = f"{folder}/{work}.csv"
    rows = arguments.rows if work == "linear" else arguments.rows // 4
    rivals = commands(folder, work, data, arguments.ray_python)
    starts = commands(folder, work, f"{folder}/start.csv", arguments.ray_python)
    begun: dict[str, list[Took]] = {name: [] for name in rivals}
    seconds: dict[str, list[Took]] = {name: [] for name in rivals}
    loads: list[float] = []
    for repeat in range(arguments.repeats):
        for name in rivals:
            begun[name].append(timed(starts[name], work))
            seconds[name].append(timed(rivals[name], work))
            loads.append(os.getloadavg()[0])
            print(
                f"{work} {name} round {repeat + 1}: {seconds[name][-1].seconds:.1f} s, load {loads[-1]:.1f}", flush=True
            )
    expected = numpy.loadtxt(f"{folder}/loop.txt")
    for name in [name for name in rivals if name not in ("loop", "ray")]:
        same = numpy.allclose(expected, numpy.loadtxt(f"{folder}/{name}/lines.txt"), rtol=1e-12)
        assert same, f"{name} differs"

    def rates(name: str) -> tuple[float, float]:
        whole, start = min(seconds[name]).seconds, min(begun[name]).seconds
        return rows / whole, (rows - CHUNK_ROWS) / (whole - start)

    base = rates("loop")
    load = f"{min(loads):.1f}-{max(loads):.1f}"
    lines = []
    for name, all_took in seconds.items():
        whole, beyond = rates(name)
        values, start = [took.seconds for took in all_took], min(begun[name]).seconds
        cpu = f"{min(took.cpu for took in all_took):.1f} ({min(took.cpu for took in begun[name]):.1f})"
        ranges = f"{min(values):.1f} ({min(values):.1f}-{max(values):.1f})"
        lines.append(
            f"{work:8}{name:8}{whole:>10,.0f}  {whole / base[0]:>6.2f}  {beyond:>23,.0f}  {beyond / base[1]:>6.2f}"
            f"  {ranges:>17}  {start:>5.1f} s  {load:>8}  {cpu:>15}"
        )
    return lines


if __name__ == "__main__":
    main()
