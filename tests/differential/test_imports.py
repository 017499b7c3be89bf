"""The import paths that scripts have used over the years."""

from __future__ import annotations

import json

import pytest

from .compare import Case, params
from .servers import service
from .wire import json_request

IMPORTS = service("imports.py")

LINES = {
    "contrib-request": "from azureml.contrib.services.aml_request import AMLRequest, rawhttp",
    "contrib-response": "from azureml.contrib.services.aml_response import AMLResponse",
    "contrib-star-request": "from azureml.contrib.services.aml_request import *",
    "contrib-star-response": "from azureml.contrib.services.aml_response import *",
    "server-request": "from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp",
    "server-response": "from azureml_inference_server_http.api.aml_response import AMLResponse",
    "server-module": "import azureml_inference_server_http.api.aml_response as r; r.AMLResponse",
    "server-version": "from azureml_inference_server_http import __version__ as v; assert v == '1.5.1', v",
    "server-formatter": "from azureml_inference_server_http.log_config import AMLLogFormatter, RootAccessFilter",
    "contrib-module": "import azureml.contrib.services.aml_response as r; r.AMLResponse",
    "contrib-rawhttp": "from azureml.contrib.services.rawhttp import rawhttp",
    "inference-schema": "from inference_schema.schema_decorators import input_schema, output_schema",
    "inference-schema-numpy": "from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType",
    "inference-schema-abstract": (
        "from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType"
    ),
    "inference-schema-util": "from inference_schema.schema_util import get_input_schema, is_schema_decorated",
    "model": "from azureml.core.model import Model; Model.get_model_path",
    "core-model": "from azureml.core import Model; Model.get_model_path",
    "monitoring": "from azureml.monitoring import ModelDataCollector",
    "monitoring-v2": "from azureml.ai.monitoring import Collector",
    "no-such-contrib": "import azureml.contrib.no_such_package",
    "no-such-azureml": "from azureml.no_such_package import x",
    "no-such-name": "from azureml.contrib.services.aml_response import NoSuchName",
    "same-class-both-ways": (
        "from azureml.contrib.services.aml_response import AMLResponse as a;"
        "from azureml_inference_server_http.api.aml_response import AMLResponse as b; assert a is b"
    ),
    "response-subclass": (
        "from azureml_inference_server_http.api.aml_response import AMLResponse\n"
        "class Mine(AMLResponse):\n    pass\n"
        "assert Mine('x', 200).status_code == 200"
    ),
}

CASES = [Case(f"imports/{name}", json_request(json.dumps(line)), IMPORTS) for name, line in LINES.items()]


@pytest.mark.parametrize("case", params(CASES))
def test_import_works_alike(check_case, case):
    check_case(case)
