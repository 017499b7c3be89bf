"""Loads a score.py under a module name of its own, and finds its init() and run()."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from scoring_runtime import compat
from scoring_runtime.errors import ScriptInitError, ScriptLoadError, ScriptSignatureError

__all__ = ["PACKAGES", "Script", "extend_path", "load_error", "load_script", "model_listing", "script_path"]

logger = logging.getLogger("azmlinfsrv.user_script")

LISTING_LIMIT = 200


class Script:
    """A loaded script: its functions, and what run() takes."""

    __slots__ = ("data_parameters", "module", "path", "run", "takes_headers", "user_init")

    def __init__(self, module: ModuleType, path: str, *, init_required: bool = True) -> None:
        self.module = module
        self.path = path
        has_init = init_required or hasattr(module, "init")
        self.user_init: Callable[[], object] = find(module, "init", path) if has_init else no_init
        self.run: Callable[..., Any] = find(module, "run", path)
        driver = getattr(module, "driver_module", None)
        if isinstance(driver, ModuleType) and hasattr(driver, "run"):
            # A generated driver forwards run() without knowing the decorators on the real one; its init() is needed.
            self.run = driver.run
            logger.info("Found driver script at %s and the score script at %s", path, driver.__file__)
        else:
            logger.info("Found user script at %s", path)
        self.data_parameters, self.takes_headers = parameters_of(self.run, path)

    def init(self) -> None:
        """Run the user's init(); whatever it raises, SystemExit too, becomes ScriptInitError."""
        logger.info("Invoking user's init function")
        try:
            self.user_init()
            travel_by_value(self.module)
        except BaseException as error:
            raise ScriptInitError(
                f"init() of {self.path} raised {describe(error)}.\n{user_traceback(error)}"
                f"{java_hint(error) or 'Fix init(); it has to return before the service accepts requests.'}"
            ) from error
        logger.info("Users's init has completed successfully")


def find(module: ModuleType, name: str, path: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if function is None:
        found = ", ".join(sorted(k for k, v in vars(module).items() if inspect.isfunction(v))) or "none"
        raise ScriptSignatureError(
            f"User script at {path} does not have a {name}() function defined. "
            f"Functions found: {found}. Add `def {name}({'' if name == 'init' else 'raw_data'}):` to it."
        )
    if not callable(function):
        raise ScriptSignatureError(f"{name} in {path} is a {type(function).__name__}, expected a function.")
    return function  # type: ignore[no-any-return]


def parameters_of(run: Callable[..., Any], path: str) -> tuple[list[inspect.Parameter], bool]:
    parameters = list(inspect.signature(run).parameters.values())
    if any(p.kind not in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise ScriptSignatureError(
            "run() cannot accept positional-only arguments, *args, or **kwargs. "
            f"Found: run({', '.join(map(str, parameters))}) in {path}. Name each parameter."
        )
    data = [p for p in parameters if p.name != "request_headers"]
    takes_headers = len(data) < len(parameters)
    if not data:
        wanted = 'an argument other than "request_headers"' if takes_headers else "an argument for input data"
        raise ScriptSignatureError(f"run() needs to accept {wanted}. Write `def run(raw_data):` in {path}.")
    return data, takes_headers


def no_init() -> None:
    """For a batch script without init(), which is allowed."""


def load_script(entry_script: str | None, app_root: str, *, init_required: bool = True) -> Script:
    """The script named by `entry_script` (relative to the app root), else main.py."""
    compat.install()
    # Spark would start the first python3 on the PATH for functions that it runs in Python.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    path = script_path(entry_script, app_root)
    name = module_name(path, entry_script)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ScriptLoadError(f"{path} is not a Python file. Name a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    # Registered, so that dataclasses and pickles of the script's own classes find their module.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise load_error(path, error) from error
    travel_by_value(module)
    return Script(module, path, init_required=init_required)


# Where Spark, Ray and joblib keep their pickler.
PICKLERS = ("cloudpickle", "pyspark.cloudpickle", "ray.cloudpickle", "joblib.externals.cloudpickle")


def travel_by_value(module: ModuleType) -> None:
    """Functions of the script go to other processes whole: there it has no name that it can be imported by."""
    for name in PICKLERS:
        register = getattr(sys.modules.get(name), "register_pickle_by_value", None)
        if register is not None:
            register(module)


def script_path(entry_script: str | None, app_root: str) -> str:
    if entry_script:
        path = os.path.join(app_root, entry_script)
        if not os.path.isfile(path):
            raise ScriptLoadError(
                f"No such file or directory: the scoring script {path} (from {entry_script!r} and the app root "
                f"{app_root!r}).\n{contents(os.path.dirname(path) or '.')}Check the path given to scoring-serve."
            )
        return path
    for folder in [app_root, *sys.path]:
        path = os.path.join(folder, "main.py")
        if os.path.isfile(path):
            return path
    raise ScriptLoadError(
        "No score script found. Expected score script main.py.\n"
        f"Expected script to be found in PYTHONPATH: {sys.path}\n{contents(app_root)}"
        "Name the script: scoring-serve score.py"
    )


def module_name(path: str, entry_script: str | None) -> str:
    """The file's own name where it is free, so that pickles and logs read well; else a unique one."""
    if not entry_script:
        return "main"
    stem = os.path.splitext(os.path.basename(path))[0]
    base = stem if stem.isidentifier() else "score"
    candidates = [f"entry_module_{base}"] + [f"entry_module_{base}_{n}" for n in range(2, 1000)]
    return next(name for name in candidates if name not in sys.modules)


def load_error(path: str, error: BaseException) -> ScriptLoadError:
    text = f"Failed to import user script because it raised an unhandled exception\n{path}: {describe(error)}\n"
    if isinstance(error, SyntaxError):
        detail = "".join(traceback.format_exception_only(type(error), error))
        return ScriptLoadError(f"{text}{detail}Fix that line.")
    text += user_traceback(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return ScriptLoadError(f"{text}Install what is missing: pip install {PACKAGES.get(package, package)}")
    return ScriptLoadError(f"{text}{java_hint(error) or 'Importing the script must not raise or exit.'}")


# Where the package to install is not called like the module to import.
PACKAGES = {
    "sklearn": "scikit-learn",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "pyspark": "'inference-schema[pyspark-support]'",
    "dateutil": "python-dateutil",
}


def java_hint(error: BaseException) -> str:
    """What to do where Spark found no Java; "" for every other error."""
    if "JAVA_GATEWAY_EXITED" not in str(error):
        return ""
    return "Spark needs Java 17: apt-get install openjdk-17-jre-headless, or set JAVA_HOME."


def describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def user_traceback(error: BaseException) -> str:
    """The traceback from the first frame that is not the loader's, so that it points at the user's line."""
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if f.filename != __file__ and "importlib" not in f.filename]
    return "Traceback (most recent call last):\n" + "".join(traceback.format_list(mine)) + describe(error) + "\n"


def contents(folder: str) -> str:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return f"The directory {folder} not an accessible directory in the container.\n"
    more = f" and {len(names) - 50} more" if len(names) > 50 else ""
    return f"Current contents of {folder}: {', '.join(names[:50]) or 'nothing'}{more}\n"


def extend_path(app_root: str, source_dir: str | None, script: str | None) -> None:
    """sys.path as scripts expect it: the app root, the source directory, and the script's own folder."""
    folders = [app_root, *([os.path.join(app_root, source_dir)] if source_dir else [])]
    for folder in folders:
        if folder not in sys.path:
            sys.path.append(folder)
    own = os.path.dirname(os.path.join(app_root, script)) if script else ""
    if own:
        # Before what is installed, so that the script's `utils` is its own; behind the standard library, as ever.
        installed = (n for n, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages")))
        place = next(installed, len(sys.path))
        if own not in sys.path[:place]:
            sys.path.insert(place, own)


def model_listing(model_dir: str | None) -> Iterator[str]:
    """The model folder as a tree, at most 200 lines: what a failed init() is mostly about."""
    if not model_dir or not os.path.exists(model_dir):
        return
    yield "Model Directory Contents:"
    for count, line in enumerate(tree(model_dir, 0)):
        if count == LISTING_LIMIT:
            yield f"Output Truncated. First {LISTING_LIMIT} lines shown."
            return
        yield line


def tree(path: str, depth: int) -> Iterator[str]:
    path = os.path.normpath(path)
    name = " " * 4 * depth + os.path.basename(path)
    if not os.path.isdir(path):
        yield name
        return
    yield name + os.sep
    for child in sorted(os.listdir(path)):
        yield from tree(os.path.join(path, child), depth + 1)
