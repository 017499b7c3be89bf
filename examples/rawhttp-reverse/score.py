"""Bytes in, bytes out: @rawhttp hands run() the request itself."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse


def init():
    pass


@rawhttp
def run(request: AMLRequest):
    if request.method == "GET":
        return AMLResponse(request.full_path, 200)
    if request.method == "POST":
        body = request.get_data(False)
        return AMLResponse(body[::-1], 200, {"Content-Type": "application/octet-stream"})
    return AMLResponse("bad request", 500)
