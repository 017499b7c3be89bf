"""Counts calls of init() and run() in this process."""

COUNTS = {"init": 0, "run": 0}


def init():
    COUNTS["init"] += 1


def run(data):
    COUNTS["run"] += 1
    return COUNTS
