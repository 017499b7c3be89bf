"""Files of any kind: one mini-batch is a list of paths, the result has one line for each."""

import argparse
import os

from azureml_user.parallel_run import EntryScript


def init():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--word", default="error")
    options, _ = parser.parse_known_args()
    EntryScript().logger.info("counting %s", options.word)


def run(mini_batch):
    results = []
    for path in mini_batch:
        with open(path, encoding="utf-8") as file:
            results.append(f"{os.path.basename(path)} {file.read().count(options.word)}")
    return results
