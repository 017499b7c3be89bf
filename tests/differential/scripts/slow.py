"""Sleeps, spins or fails for as long as the request says."""

import json
import threading
import time

LOCK = threading.Lock()
LOG = []


def sleep(seconds):
    time.sleep(seconds)
    return "slept"


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "spun"


def wait_for_event(seconds):
    return threading.Event().wait(seconds)


def join(seconds):
    thread = threading.Thread(target=time.sleep, args=(seconds,), daemon=True)
    thread.start()
    thread.join()
    return "joined"


def locked(seconds):
    with LOCK:
        try:
            time.sleep(seconds)
        finally:
            LOG.append("finally ran")
    return "unlocked"


def state(_):
    return [LOG, LOCK.locked()]


def swallow(seconds):
    try:
        time.sleep(seconds)
    except Exception as error:
        return f"swallowed {type(error).__name__}"
    return "slept"


def own_timeout(_):
    raise TimeoutError("an upstream service was slow")


KINDS = {
    "sleep": sleep,
    "spin": spin,
    "event": wait_for_event,
    "join": join,
    "locked": locked,
    "state": state,
    "swallow": swallow,
    "own": own_timeout,
}


def init():
    pass


def run(data):
    order = json.loads(data)
    if isinstance(order, list):
        return KINDS[order[0]](order[1])
    return sleep(order)
