"""How fast is a batch run, against a loop written by hand and against Ray Data's map_batches, on the same work?

Work      a CSV file of ROWS x 20 numbers; a scikit-learn model; one line of output for each row
            linear   StandardScaler + LogisticRegression: reading the file is most of it
            forest   RandomForestClassifier, 40 trees, one thread: the model is most of it
Rivals    loop     pandas.read_csv(chunksize=) -> model.predict_proba -> file.write, one process, no safety at all
          ours-N   `scoring batch run`, N processes, every mini-batch synced to disk, from start to assembled output
          ray      ray.data.read_csv -> map_batches(an actor pool of 2) -> write_csv; --ray-python names its interpreter
Method    every rival is a fresh process, timed from its start to its end, imports and worker start-up included; one
          round to warm the page cache, then the rivals in turn, REPEATS rounds; the best (other work on the machine
          can only slow a round down) and the range. The outputs of loop
          and ours are compared as numbers, to 12 digits: pandas.read_csv, unlike float(), rounds the last one.

    python benchmarks/bench_batch.py [--rows 600000] [--repeats 3] [--ray-python PATH]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
with open(f"{folder}/data.csv", "w") as file:
    file.write(",".join(f"x{n}" for n in range(20)) + "\\n")
    for start in range(0, rows, 50000):
        block = chance.normal(size=(min(50000, rows - start), 20))
        numpy.savetxt(file, block, fmt="%.6f", delimiter=",")
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
folder, name, chunk = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(f"{folder}/{name}.pkl", "rb") as file:
    model = pickle.load(file)
with open(f"{folder}/loop.txt", "w") as out:
    for frame in pandas.read_csv(f"{folder}/data.csv", chunksize=chunk):
        for value in model.predict_proba(frame.to_numpy())[:, 1].tolist():
            out.write(f"{value}\\n")
"""

RAY = """
import sys, pickle, ray
folder, name, chunk = sys.argv[1], sys.argv[2], int(sys.argv[3])
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False

class Score:
    def __init__(self):
        with open(f"{folder}/{name}.pkl", "rb") as file:
            self.model = pickle.load(file)

    def __call__(self, frame):
        import pandas
        return pandas.DataFrame({"p": self.model.predict_proba(frame.to_numpy())[:, 1]})

data = ray.data.read_csv(f"{folder}/data.csv")
pool = ray.data.ActorPoolStrategy(size=2)
data = data.map_batches(Score, batch_format="pandas", batch_size=chunk, compute=pool, num_cpus=0.5)
data.write_csv(f"{folder}/ray-{name}")
"""


def commands(folder: str, work: str, ray_python: str | None) -> dict[str, list[str]]:
    main = "from scoring_runtime.cli.main import main; main()"
    ours = [sys.executable, "-c", main, "batch", "run", f"{folder}/score.py", "--input", f"{folder}/data.csv"]
    ours += [
        "--model-dir",
        folder,
        "--restart",
        "--json",
        "--output-file",
        "lines.txt",
        "--mini-batch-size",
        str(CHUNK_ROWS),
    ]
    result = {
        "loop": [sys.executable, "-c", LOOP, folder, work, str(CHUNK_ROWS)],
        "ours-1": [*ours, "--processes", "1", "--output", f"{folder}/ours-1"],
        "ours-2": [*ours, "--processes", "2", "--output", f"{folder}/ours-2"],
    }
    if ray_python:
        result["ray"] = [ray_python, "-c", RAY, folder, work, str(CHUNK_ROWS)]
    return result


def timed(argv: list[str], work: str) -> float:
    environ = {**os.environ, "MODEL": work, "PYTHONPATH": ROOT, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        argv, env={**environ, "HOME": argv[3] if "ray.init" in argv[2] else environ["HOME"]}, capture_output=True
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{argv[:3]}: exit code {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ray-python")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder:
        subprocess.run([sys.executable, "-c", PREPARE, folder, str(arguments.rows)], check=True)
        Path(folder, "score.py").write_text(SCRIPT)
        size = os.path.getsize(f"{folder}/data.csv") >> 20
        print(f"{arguments.rows:,} rows, {size} MiB; {os.cpu_count()} CPUs, Python {platform.python_version()}")
        for work in ("linear", "forest"):
            compare(folder, work, arguments.rows, arguments.repeats, arguments.ray_python)


def compare(folder: str, work: str, rows: int, repeats: int, ray_python: str | None) -> None:
    rivals = commands(folder, work, ray_python)
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for repeat in range(repeats + 1):
        for name, argv in rivals.items():
            shutil.rmtree(f"{folder}/ray-{work}", ignore_errors=True)
            took = timed(argv, work)
            if repeat:
                seconds[name].append(took)
    for name in ("ours-1", "ours-2"):
        same = numpy.allclose(
            numpy.loadtxt(f"{folder}/loop.txt"), numpy.loadtxt(f"{folder}/{name}/lines.txt"), rtol=1e-12
        )
        assert same, f"{name} differs"
    base = min(seconds["loop"])
    for name, values in seconds.items():
        best = min(values)
        spread = f"{min(values):.1f}-{max(values):.1f} s"
        print(f"{work:8}{name:8}{rows / best:>12,.0f} rows/s  {base / best:>5.2f} x loop  ({spread})")


if __name__ == "__main__":
    main()
