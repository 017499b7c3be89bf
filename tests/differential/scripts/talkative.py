"""Prints and logs in init(), run() and a thread, in every way scripts do."""

import logging
import sys
import threading

from azureml_inference_server_http.api.aml_response import AMLResponse

print("printed at import")


def init():
    print("Initializing")
    logging.getLogger("azmlinfsrv").info("server's logger in init")
    logging.getLogger("mine").warning("own warning in init")
    logging.getLogger("mine").info("own info in init")


def run(data):
    if data == "raise":
        raise ValueError("the cause of it all")
    if data == "own":
        return AMLResponse("own", 200)
    if data == "busy":
        return AMLResponse("busy", 503)
    if data == "stream":
        return AMLResponse(iter(["a", "b"]), 200)
    if data == "thread":
        thread = threading.Thread(target=print, args=("printed in a thread",))
        thread.start()
        thread.join()
        return 1
    print("A new request received~~~")
    print("several", 1, None, [2], sep="|", end="!")
    print("to stderr", file=sys.stderr)
    print("é 日本")
    print()
    print("two\nlines")
    with open("printed.txt", "a") as file:
        print("to a file", file=file)
    print("flushed", flush=True)
    sys.stdout.write("written to stdout\n")
    sys.stderr.write("written to stderr\n")
    logging.getLogger("azmlinfsrv").warning("server's logger in run")
    logging.getLogger("mine").error("own error in run")
    logging.warning("root warning in run")
    return {"printed": True}
