"""Old import paths: without any azureml, with one that lacks modules, with one that has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoring_runtime import compat

ROOT = Path(compat.__file__).parent.parent

WITHOUT_CORE_MODEL = {
    "azureml/__init__.py": "",
    "azureml/core/__init__.py": "class Workspace: pass",
}
NAMESPACE = {
    "azureml/core/__init__.py": "from azureml.core.model import Model",
    "azureml/core/model.py": "class Model: real = True",
    "azureml/monitoring/__init__.py": "class ModelDataCollector: real = True",
    "azureml/ai/monitoring/__init__.py": "class Collector: real = True",
    "azureml/ai/monitoring/context.py": "real = True",
}
REAL_SERVER = {
    "azureml/contrib/services/__init__.py": "",
    "azureml/contrib/services/aml_request.py": "real = True",
    "azureml/contrib/services/aml_response.py": "real = True",
    "azureml_inference_server_http/__init__.py": "__version__ = '9'",
    "azureml_inference_server_http/log_config.py": "real = True",
    "azureml_inference_server_http/api/__init__.py": "",
    "azureml_inference_server_http/api/aml_request.py": "real = True",
    "azureml_inference_server_http/api/aml_response.py": "real = True",
}


@pytest.fixture
def python(tmp_path):
    """Runs code in a fresh interpreter that finds the given files as installed packages."""

    def run(code: str, files: dict[str, str] | None = None) -> str:
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


INSTALL = "from scoring_runtime import compat; compat.install()\n"


@pytest.mark.parametrize(
    "statement",
    [
        "from azureml.contrib.services.aml_request import AMLRequest as found, rawhttp",
        "from azureml.contrib.services.aml_response import AMLResponse as found",
        "import azureml.contrib.services.aml_response as r; found = r.AMLResponse",
        "import azureml.contrib.services.aml_request; found = azureml.contrib.services.aml_request.rawhttp",
        "from azureml.contrib.services import rawhttp; found = rawhttp.rawhttp",
        "from azureml.contrib.services.rawhttp import rawhttp as found",
        "from azureml_inference_server_http.api.aml_request import AMLRequest as found, rawhttp",
        "from azureml_inference_server_http.api.aml_response import AMLResponse as found",
        "from azureml_inference_server_http.log_config import AMLLogFormatter as found",
        "from azureml.core.model import Model as found",
        "from azureml.core import Model as found",
        "import azureml.core; found = azureml.core.Model",
        "from azureml.exceptions import WebserviceException as found",
        "from azureml.monitoring import ModelDataCollector as found",
        "from azureml.ai.monitoring import Collector as found",
        "from azureml.ai.monitoring.context import BasicCorrelationContext as found",
        "import azureml.ai.monitoring.context as c; found = c.CorrelationContext",
        "from azureml.ai.monitoring.collector import Collector as found",
    ],
)
@pytest.mark.parametrize(
    "files", [{}, {"azureml/__init__.py": ""}, {"azureml/other.py": ""}], ids=["none", "regular", "namespace"]
)
def test_old_names_are_ours_where_nothing_is_installed(python, statement, files):
    assert python(f"{INSTALL}{statement}\nprint(found.__module__)", files).startswith("scoring_runtime.api.")


def test_the_made_up_server_package_has_the_version_scripts_expect(python):
    assert python(f"{INSTALL}import azureml_inference_server_http as s; print(s.__version__)") == "1.5.1"


def test_an_installed_azureml_keeps_working_and_lacks_nothing(python):
    code = (
        "from azureml.core import Workspace; from azureml.core.model import Model\n"
        "print(Workspace.__module__, Model.__module__)"
    )
    assert python(INSTALL + code, WITHOUT_CORE_MODEL) == "azureml.core scoring_runtime.api.model"


def test_what_is_installed_wins_over_what_is_only_there_if_absent(python):
    code = (
        "from azureml.core import Model\nfrom azureml.monitoring import ModelDataCollector\n"
        "from azureml.ai.monitoring import Collector\nimport azureml.ai.monitoring.context as context\n"
        "import pickle; model = pickle.loads(pickle.dumps(Model()))\n"
        "print(model.real, ModelDataCollector.real, Collector.real, context.real)"
    )
    assert python(INSTALL + code, NAMESPACE) == "True True True True"


@pytest.mark.parametrize("before", ["", "import {0}\n"], ids=["install first", "import first"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("azureml.contrib.services.aml_request", "request"),
        ("azureml.contrib.services.aml_response", "response"),
        ("azureml_inference_server_http.api.aml_request", "request"),
        ("azureml_inference_server_http.api.aml_response", "response"),
    ],
)
def test_what_run_is_handed_is_ours_in_any_case(python, old, new, before):
    code = f"{before.format(old)}{INSTALL}import {old} as a, scoring_runtime.api.{new} as b\n"
    code += "import azureml_inference_server_http as s\n"
    assert python(f"{code}print(a is b, s.__version__)", REAL_SERVER) == "True 9"


def test_a_module_whose_package_is_not_loaded_is_replaced_too(python):
    name = "azureml.contrib.services.aml_request"
    code = f"import sys, types; sys.modules[{name!r}] = types.ModuleType({name!r})\n{INSTALL}"
    assert python(f"{code}print(sys.modules[{name!r}].__name__)") == "scoring_runtime.api.request"


def test_the_target_keeps_its_own_name_and_spec(python):
    code = "import azureml.core.model as m; print(m.__name__, m.__spec__.name)"
    assert python(INSTALL + code) == "scoring_runtime.api.model scoring_runtime.api.model"


def test_installing_again_changes_nothing_but_stays_last(python):
    code = (
        "import sys; before = len(sys.meta_path)\n"
        "class Late:\n    find_spec = staticmethod(lambda *a: None)\n"
        "sys.meta_path.append(Late); compat.install(); print(len(sys.meta_path) - before, sys.meta_path[-1].__name__)"
    )
    assert python(INSTALL + code) == "1 LastFinder"


def test_nothing_happens_before_install_nor_is_loaded_by_it(python):
    code = (
        "import sys; before = list(sys.meta_path)\nfrom scoring_runtime import compat; print(before == sys.meta_path)\n"
        "compat.install(); print([name for name in sys.modules if name.startswith('scoring_runtime.api')])"
    )
    assert python(code).splitlines() == ["True", "[]"]


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("import azureml.core.run", "ModuleNotFoundError No module named 'azureml.core.run'"),
        ("import azureml.nothing", "ModuleNotFoundError No module named 'azureml.nothing'"),
        ("from azureml.core import Workspace", "ImportError cannot import name 'Workspace'"),
        (
            "import azureml.core; azureml.core.Workspace",
            "AttributeError module 'azureml.core' has no attribute 'Workspace'",
        ),
    ],
)
def test_what_we_do_not_have_is_missing_in_the_normal_way(python, statement, error):
    code = f"try:\n    {statement}\nexcept Exception as e: print(type(e).__name__, e)"
    assert python(INSTALL + code).startswith(error)


def test_a_target_that_does_not_exist_is_a_missing_module(python):
    code = (
        "compat.OURS_IF_ABSENT['azureml.later'] = 'scoring_runtime.no_such_module'\n"
        "try: import azureml.later\nexcept ModuleNotFoundError as e: print(e)"
    )
    assert python(INSTALL + code) == "No module named 'scoring_runtime.no_such_module'"


def test_importing_what_scripts_use_is_cheap(python):
    code = (
        "import azureml.contrib.services.aml_request, azureml.contrib.services.aml_response\n"
        "heavy = {'numpy', 'pandas', 'orjson', 'flask', 'werkzeug', 'starlette', 'asyncio', 'email', 'tempfile',\n"
        "         'inspect', 'dataclasses', 'urllib.parse', 'python_multipart', 'scoring_runtime.server'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    before = "import sys; before = set(sys.modules)\n"  # coverage, for one, may be there already
    assert python(f"{before}{INSTALL}{code}") == "[]"


def test_every_row_names_a_module_of_ours():
    rows = {**compat.OURS_ALWAYS, **compat.OURS_IF_ABSENT, **compat.PACKAGES}
    assert all(target.startswith("scoring_runtime.") for target in rows.values() if target)


def test_every_parent_of_an_old_name_is_made_up():
    names = {**compat.OURS_ALWAYS, **compat.OURS_IF_ABSENT, **compat.PACKAGES}
    parents = {name.rpartition(".")[0] for name in names} - {""}
    assert parents <= set(compat.PACKAGES)


@pytest.fixture
def installed(monkeypatch):
    """install() in this very process, undone afterwards."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = dict(sys.modules)
    compat.install()
    yield
    for name in [
        name for name in sys.modules if name.partition(".")[0] in ("azureml", "azureml_inference_server_http")
    ]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("installed")
def test_old_and_new_names_are_one_module():
    import azureml.contrib.services.aml_request as old  # type: ignore[import-not-found]
    import azureml.core  # type: ignore[import-not-found]
    import azureml_inference_server_http.log_config as log_config  # type: ignore[import-not-found]

    from scoring_runtime.api import log_config as ours
    from scoring_runtime.api import model, request

    assert (old, log_config, azureml.core.Model) == (request, ours, model.Model)
    with pytest.raises(AttributeError, match="stands in"):
        _ = azureml.core.Workspace
    with pytest.raises(AttributeError):
        _ = azureml.core.__wrapped__
    with pytest.raises(ModuleNotFoundError):
        import azureml.nothing  # type: ignore[import-not-found]


@pytest.mark.usefixtures("installed")
def test_install_replaces_what_is_there(monkeypatch):
    from types import ModuleType

    name = "azureml_inference_server_http.api.aml_request"
    package = ModuleType("azureml_inference_server_http.api")
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    compat.install()
    assert sys.modules[name] is package.aml_request
    assert sys.modules[name].__name__ == "scoring_runtime.api.request"
