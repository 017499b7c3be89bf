"""The documented sample: GET answers the path, POST the bytes reversed, anything else 500."""

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


@rawhttp
def run(request):
    if request.method == "GET":
        return AMLResponse(request.full_path.encode(), 200)
    if request.method == "POST":
        return AMLResponse(request.get_data(False)[::-1], 200)
    return AMLResponse("bad request", 500)
