"""Streams two pieces with a pause between them."""

import time

from azureml_inference_server_http.api.aml_response import AMLResponse


def pieces(pause):
    yield "before "
    time.sleep(pause)
    yield "after"


def init():
    pass


def run(data):
    return AMLResponse(pieces(float(data)), 200)
