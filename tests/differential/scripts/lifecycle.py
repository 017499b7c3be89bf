"""Ends, outlives or breaks its process in the ways scripts do."""

import atexit
import json
import os
import sys
import time

COUNT = []


def farewell():
    with open("farewell.txt", "a") as file:
        file.write("atexit ran\n")


def init():
    if "MASTER_ONLY" not in os.environ:
        atexit.register(farewell)


def run(data):
    kind = json.loads(data)
    COUNT.append(kind)
    if kind == "exit":
        sys.exit(1)
    if kind == "exit-0":
        sys.exit(0)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "base":
        raise BaseException("of no kind")
    if kind == "generator-exit":
        raise GeneratorExit
    if kind == "die":
        os._exit(9)
    if kind == "pid":
        return os.getpid()
    if kind == "wait":
        with open("started.txt", "w") as file:
            file.write("started")
        time.sleep(0.7)
        return "finished"
    return COUNT
