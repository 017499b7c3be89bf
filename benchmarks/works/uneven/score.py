"""Two milliseconds of waiting, and twenty for each tenth request; the answer is who did it."""

import itertools
import os
import time


def init():
    global numbers
    numbers = itertools.count(1)


def run(raw_data):
    time.sleep(0.02 if next(numbers) % 10 == 0 else 0.002)
    return os.getpid()
