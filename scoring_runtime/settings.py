"""Every setting of the server: one row each, from which parsing, the banner, --help and docs/settings.md derive.

A value comes from the command line, else the environment, else config.json, else the default.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from scoring_runtime.errors import SettingsError

__all__ = ["COMPATIBLE_VERSION", "ROWS", "Row", "Settings", "find_config_file"]

COMPATIBLE_VERSION = "azmlinfsrv/1.5.1"
DEFAULT_APP_ROOT = "/var/azureml-app"


class Row:
    """One setting: its attribute name, environment variable, type, default and help."""

    __slots__ = ("choices", "default", "env", "flag", "help", "kind", "maximum", "minimum", "name", "secret")

    def __init__(
        self,
        name: str,
        env: str,
        kind: type,
        default: Any,
        help: str,
        *,
        flag: str = "",
        minimum: int | None = None,
        maximum: int | None = None,
        choices: tuple[str, ...] = (),
        secret: bool = False,
    ) -> None:
        self.name = name
        self.env = env
        self.kind = kind
        self.default = default
        self.help = help
        self.flag = flag
        self.minimum = minimum
        self.maximum = maximum
        self.choices = choices
        self.secret = secret

    def parse(self, value: object, source: str) -> Any:
        """The typed value, or SettingsError naming the variable, the value and what was expected."""
        if value is None:
            return self.default
        if self.kind is bool:
            return self._bool(value, source)
        if self.kind is int:
            return self._int(value, source)
        text = str(value)
        if not self.choices:
            return text
        for choice in self.choices:
            if choice.lower() == text.lower():
                return choice
        raise SettingsError(self.env, value, f"one of {', '.join(self.choices)}", f"It came from {source}.")

    def _bool(self, value: object, source: str) -> bool:
        text = str(value).strip().lower()
        if text in ("true", "1", "yes", "on", "y", "t"):
            return True
        if text in ("false", "0", "no", "off", "n", "f", ""):
            return False
        raise SettingsError(self.env, value, "true or false", f"It came from {source}.")

    def _int(self, value: object, source: str) -> int:
        low = "" if self.minimum is None else f" from {self.minimum}"
        high = "" if self.maximum is None else f" to {self.maximum}"
        expected = f"a whole number{low}{high}"
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise SettingsError(self.env, value, expected, f"It came from {source}.")
        try:
            number = int(value)  # type: ignore[call-overload]
        except (TypeError, ValueError):
            raise SettingsError(self.env, value, expected, f"It came from {source}.") from None
        if (self.minimum is not None and number < self.minimum) or (self.maximum is not None and number > self.maximum):
            raise SettingsError(self.env, value, expected, f"It came from {source}.")
        return int(number)


LEVELS = ("CRITICAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "NOTSET")

ROWS: tuple[Row, ...] = (
    # where the script is, and what surrounds it
    Row("entry_script", "AZUREML_ENTRY_SCRIPT", str, None, "The scoring script.", flag="--entry_script"),
    Row("app_root", "AML_APP_ROOT", str, DEFAULT_APP_ROOT, "Working folder of the script; on its import path."),
    Row("source_dir", "AZUREML_SOURCE_DIRECTORY", str, None, "One more import folder, relative to the app root."),
    Row("model_dir", "AZUREML_MODEL_DIR", str, None, "The model folder, handed to the script.", flag="--model_dir"),
    Row(
        "config_file", "AZUREML_CONFIG_FILE", str, None, "A JSON file with any of these settings.", flag="--config_file"
    ),
    # sockets and processes
    Row("host", "SCORING_HOST", str, "0.0.0.0", "The address to listen on."),
    Row("port", "SCORING_PORT", int, 5001, "The port to serve on.", flag="--port", minimum=1, maximum=65535),
    Row(
        "health_port",
        "SCORING_HEALTH_PORT",
        int,
        5000,
        "A second port, for probes, with SEPERATE_HEALTH_ENDPOINT=true.",
        flag="--health_port",
        minimum=1,
        maximum=65535,
    ),
    Row("listen_fd", "SCORING_LISTEN_FD", str, None, "Inherited listening sockets: the port's; the health port's."),
    Row("separate_health", "SEPERATE_HEALTH_ENDPOINT", bool, False, "Listen on the health port too."),
    Row("worker_count", "WORKER_COUNT", int, 1, "Worker processes.", flag="--worker_count", minimum=1, maximum=512),
    Row(
        "worker_timeout", "WORKER_TIMEOUT", int, 300, "Seconds init() or one run() may keep a worker silent.", minimum=0
    ),
    Row("worker_preload", "WORKER_PRELOAD", bool, False, "Run init() once and share its memory between workers."),
    Row(
        "max_requests",
        "SCORING_MAX_REQUESTS",
        int,
        0,
        "Replace a worker after this many requests; 0: never.",
        minimum=0,
    ),
    Row("max_requests_jitter", "SCORING_MAX_REQUESTS_JITTER", int, 0, "At most this many more, at random.", minimum=0),
    Row(
        "graceful_timeout", "SCORING_GRACEFUL_TIMEOUT", int, 30, "Seconds to finish requests after SIGTERM.", minimum=0
    ),
    # limits
    Row("scoring_timeout_ms", "SCORING_TIMEOUT_MS", int, 3_600_000, "How long run() may take; 0: no limit.", minimum=0),
    Row(
        "stuck_grace_ms",
        "SCORING_STUCK_GRACE_MS",
        int,
        10_000,
        "How long a run() may ignore its timeout before its worker is replaced.",
        minimum=0,
    ),
    Row(
        "max_concurrent_requests",
        "SCORING_MAX_CONCURRENT_REQUESTS",
        int,
        1,
        "run() calls at a time in one worker: 1 on the main thread, more in threads (or as tasks of an async run).",
        minimum=1,
        maximum=256,
    ),
    Row("max_queue_length", "SCORING_MAX_QUEUE_LENGTH", int, 4096, "Requests that may wait for a slot.", minimum=0),
    Row(
        "max_queue_bytes",
        "SCORING_MAX_QUEUE_BYTES",
        int,
        1024 * 1024 * 1024,
        "The bodies of all requests together, in memory or on disk, that are read, wait or run.",
        minimum=0,
    ),
    Row("max_queue_wait_ms", "SCORING_MAX_QUEUE_WAIT_MS", int, 300_000, "How long one may wait for a slot.", minimum=1),
    Row("max_body_bytes", "SCORING_MAX_BODY_BYTES", int, 100 * 1024 * 1024, "The largest request body.", minimum=0),
    Row(
        "header_timeout_ms", "SCORING_HEADER_TIMEOUT_MS", int, 30_000, "A client's time to send its headers.", minimum=1
    ),
    Row("body_timeout_ms", "SCORING_BODY_TIMEOUT_MS", int, 300_000, "... its body, or to read its answer.", minimum=1),
    Row("keep_alive_seconds", "SCORING_KEEP_ALIVE", int, 75, "How long an idle connection stays open.", minimum=0),
    # where ONNX models run
    Row("accelerator", "SCORING_ACCELERATOR", str, None, "Where open_session() runs models; nothing: the processor."),
    Row(
        "accelerator_policy",
        "SCORING_ACCELERATOR_POLICY",
        str,
        None,
        "prefer: fall back to the processor; require: fail at boot; require-all: for every node of the model.",
        choices=("prefer", "require", "require-all"),
    ),
    Row(
        "accelerator_options",
        "SCORING_ACCELERATOR_OPTIONS",
        str,
        None,
        "Options of its provider: a JSON object, or name=value;name=value.",
        secret=True,
    ),
    Row("accelerator_cache", "SCORING_ACCELERATOR_CACHE", str, None, "A folder for what providers compile."),
    # what clients see
    Row("service_name", "SERVICE_NAME", str, "ML service", "The service's name in Swagger."),
    Row("service_version", "SERVICE_VERSION", str, "1.0", "The service's version in Swagger."),
    Row("service_path_prefix", "SERVICE_PATH_PREFIX", str, "", "Put before every path in Swagger."),
    Row("workspace_name", "WORKSPACE_NAME", str, "", "The workspace's name, for telemetry."),
    Row(
        "cors_origins",
        "AML_CORS_ORIGINS",
        str,
        None,
        'Origins that browsers may call from, separated by ","; "*" for all.',
        flag="--access_control_allow_origins",
    ),
    Row("allow_nan", "SCORING_ALLOW_NAN", bool, False, "Answer NaN and Infinity as such, which is not JSON."),
    # who may call, and how
    Row("auth", "SCORING_AUTH", str, "none", "What callers have to show.", choices=("none", "key", "token")),
    Row("primary_key", "SCORING_PRIMARY_KEY", str, None, "A key that opens the service.", secret=True),
    Row("secondary_key", "SCORING_SECONDARY_KEY", str, None, "A second one, to change over to.", secret=True),
    Row("token_key", "SCORING_TOKEN_KEY", str, None, "What tokens are signed with (HS256).", secret=True),
    Row("keys_dir", "SCORING_KEYS_DIR", str, None, "A folder of files primaryKey, secondaryKey, tokenKey, which win."),
    Row("tls_cert", "SCORING_TLS_CERT", str, None, "A PEM file: the certificate and its chain. HTTPS on the port."),
    Row("tls_key", "SCORING_TLS_KEY", str, None, "The PEM file with the certificate's private key."),
    # logs and telemetry
    Row("log_level", "AZUREML_LOG_LEVEL", str, "INFO", "Level of the root logger.", choices=LEVELS),
    Row("debug_port", "AZUREML_DEBUG_PORT", int, None, "Attach to a debugpy client there.", minimum=1, maximum=65535),
    Row("app_insights_enabled", "AML_APP_INSIGHTS_ENABLED", bool, False, "Application Insights."),
    Row(
        "app_insights_key",
        "AML_APP_INSIGHTS_KEY",
        str,
        None,
        "Its instrumentation key.",
        flag="--appinsights_instrumentation_key",
        secret=True,
    ),
    Row("app_insights_log_response", "APP_INSIGHTS_LOG_RESPONSE_ENABLED", bool, True, "Put answers into telemetry."),
    Row("hostname", "HOSTNAME", str, "Unknown", "The container's id, for telemetry."),
)

# The reference starts with any text in these: what is not a clear "true" is false.
LENIENT_BOOLS = {"worker_preload", "separate_health", "app_insights_enabled"}


class Settings:
    """A frozen set of values, one attribute a row."""

    __slots__ = ("_values", "version_header", "warnings")

    def __init__(self, values: Mapping[str, Any], *, version_header: str = "", warnings: tuple[str, ...] = ()) -> None:
        object.__setattr__(self, "_values", {row.name: values.get(row.name, row.default) for row in ROWS})
        object.__setattr__(self, "version_header", version_header)
        object.__setattr__(self, "warnings", warnings)

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_values")[name]
        except KeyError:
            raise AttributeError(f"no setting {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("settings are frozen; use replace()")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{row.name}={'***' if row.secret else repr(self._values[row.name])}"
            for row in ROWS
            if self._values[row.name] != row.default
        )
        return f"Settings({shown})"

    def replace(self, **changes: Any) -> Settings:
        return Settings({**self._values, **changes}, version_header=self.version_header, warnings=self.warnings)

    def to_environ(self) -> dict[str, str]:
        """The environment from which load() reads these same values."""
        result = {}
        for row in ROWS:
            value = self._values[row.name]
            if value != row.default:
                result[row.env] = str(value).lower() if isinstance(value, bool) else str(value)
        return result

    def public(self) -> dict[str, Any]:
        """What differs from its default, by environment variable, without secrets."""
        return {
            row.env: self._values[row.name] for row in ROWS if self._values[row.name] != row.default and not row.secret
        }

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str],
        flags: Mapping[str, Any] | None = None,
        cwd: str | None = None,
    ) -> Settings:
        """Command line over environment over config.json over defaults; raises SettingsError."""
        flags = {name: value for name, value in (flags or {}).items() if value is not None}
        # Started by the command the app root is the current folder; images set AML_APP_ROOT.
        here = cwd or os.getcwd()
        flags.setdefault("app_root", os.path.join(here, environ.get("AML_APP_ROOT") or here))
        warnings: list[str] = []
        path, file_values = read_config_file(environ, flags, warnings)
        values: dict[str, Any] = {}
        for row in ROWS:
            if row.name in flags:
                values[row.name] = row.parse(flags[row.name], f"the flag {row.flag or row.name}")
            elif row.env in environ:
                values[row.name] = parse_environ(row, environ[row.env])
            elif row.env in file_values:
                values[row.name] = row.parse(file_values[row.env], str(path))
        if "config_file" in flags:
            values["config_file"] = os.path.realpath(flags["config_file"])
        return cls(values, version_header=version_header(environ), warnings=tuple(warnings))


def parse_environ(row: Row, text: str) -> Any:
    if row.name in LENIENT_BOOLS:
        return text.strip().lower() == "true"
    if row.kind is int and not text.strip() and row.default is None:
        return None
    return row.parse(text, "the environment")


def version_header(environ: Mapping[str, str]) -> str:
    """What x-ms-server-version says: on unless switched off, yet a preset value is sent all the same."""
    if environ.get("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true":
        return COMPATIBLE_VERSION
    return environ.get("HTTP_X_MS_SERVER_VERSION", "")


def find_config_file(environ: Mapping[str, str], flags: Mapping[str, Any], warnings: list[str]) -> str | None:
    """--config_file or AZUREML_CONFIG_FILE, else config.json in the app root, else beside the script."""
    named = flags.get("config_file") or environ.get("AZUREML_CONFIG_FILE")
    if named and usable(named):
        return os.path.realpath(named)
    if named:
        warnings.append(f"The config file {named} does not exist or is empty; looking for config.json instead.")
    script = flags.get("entry_script") or environ.get("AZUREML_ENTRY_SCRIPT")
    folders = [flags["app_root"], os.path.dirname(os.path.abspath(script)) if script else None]
    for folder in folders:
        if folder and usable(path := os.path.join(folder, "config.json")):
            return path
    return None


def usable(path: str) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) > 0


def read_config_file(
    environ: Mapping[str, str], flags: Mapping[str, Any], warnings: list[str]
) -> tuple[str | None, dict[str, Any]]:
    path = find_config_file(environ, flags, warnings)
    if path is None:
        return None, {}
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except (OSError, ValueError) as error:
        raise SettingsError(path, str(error), "a JSON file", "Repair it, or remove it.") from None
    if not isinstance(values, dict):
        raise SettingsError(path, type(values).__name__, "a JSON object of settings", "Repair it, or remove it.")
    unknown = sorted(values.keys() - {row.env for row in ROWS})
    if unknown:
        warnings.append(
            "Found extra keys in the config file that are not supported by the server.\n"
            f"Extra keys = {unknown} (in {path})"
        )
    return path, {key: value for key, value in values.items() if value is not None}
