"""`scoring-serve score.py`: reads the settings, opens the port, starts the front, and lets the arbiter run the rest."""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from scoring_runtime import __version__
from scoring_runtime.errors import ScoringRuntimeError, ScriptLoadError, SettingsError
from scoring_runtime.settings import COMPATIBLE_VERSION, ROWS, Settings

if TYPE_CHECKING:
    from scoring_runtime.server.keys import Vault

__all__ = ["main"]

BAD_FLAGS = 1
BAD_SETUP = 3


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        print()
        self.print_help()
        sys.exit(BAD_FLAGS)


def parser() -> argparse.ArgumentParser:
    result = Parser(
        prog="scoring-serve",
        description=f"Serve a score.py over HTTP (scoring-runtime {__version__}).",
        epilog="Every other setting is an environment variable or a key of config.json: see docs/settings.md.",
    )
    result.add_argument("script", nargs="?", help="The scoring script, like --entry_script.")
    for row in ROWS:
        if row.flag:
            default = "" if row.default is None or row.secret else f" Default: {row.default}."
            result.add_argument(
                row.flag, dest=row.name, metavar=row.name.upper(), help=f"{row.help}{default} [{row.env}]"
            )
    result.add_argument("--rest", action="store_true", help=argparse.SUPPRESS)
    result.add_argument("--version", action="version", version=f"scoring-runtime {__version__}")
    return result


def main(argv: list[str] | None = None) -> NoReturn:
    command = parser()
    flags = vars(command.parse_args(argv))
    rest = flags.pop("rest")
    flags["entry_script"] = flags.pop("script") or flags["entry_script"]
    if flags["entry_script"]:
        flags["entry_script"] = os.path.realpath(flags["entry_script"])
    named = flags["entry_script"] or flags["config_file"]
    if not (named or os.environ.get("AZUREML_ENTRY_SCRIPT") or os.environ.get("AZUREML_CONFIG_FILE")):
        command.error("no scoring script given. Name one: scoring-serve score.py")
    try:
        for row in ROWS:
            if flags.get(row.name) is not None:
                row.parse(flags[row.name], f"the flag {row.flag}")
    except SettingsError as error:
        command.error(str(error))
    from scoring_runtime.server.keys import set_aside

    try:
        settings, vault = set_aside(Settings.load(os.environ, flags), os.environ)
        settings, sockets = take_over(settings)
        export(settings, flags, rest)
        banner(settings)
        check_script(settings)
        if settings.auth != "none" or settings.tls_cert or settings.tls_key:
            check_secured(settings, vault)
        serve(settings, sockets, vault)
    except ScoringRuntimeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.stderr.flush()
        sys.exit(BAD_SETUP)
    sys.exit(0)


def export(settings: Settings, flags: dict[str, Any], rest: bool) -> None:
    """The variables that scripts find set, as under the reference."""
    environ = os.environ
    environ.setdefault("AML_APP_ROOT", settings.app_root)
    if flags["entry_script"]:
        environ["AZUREML_ENTRY_SCRIPT"] = flags["entry_script"]
    if flags["model_dir"] is not None:
        environ["AZUREML_MODEL_DIR"] = flags["model_dir"]
    if flags["config_file"] is not None:
        environ["AZUREML_CONFIG_FILE"] = os.path.realpath(flags["config_file"])
    if settings.version_header:
        environ["HTTP_X_MS_SERVER_VERSION"] = settings.version_header
    environ["WORKER_COUNT"] = str(settings.worker_count)
    environ["TRANSPORT_PROTOCOL"] = "rest" if rest else "grpc"
    environ["SERVER_PORT"] = str(settings.port)
    environ["HEALTH_PORT"] = str(settings.health_port if settings.separate_health else settings.port)
    if settings.app_insights_key:
        environ["AML_APP_INSIGHTS_KEY"] = settings.app_insights_key
    if settings.cors_origins is not None:
        environ["AML_CORS_ORIGINS"] = settings.cors_origins
    if flags["app_insights_key"] is not None:
        environ["AML_APP_INSIGHTS_ENABLED"] = "true"


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z", re.IGNORECASE)


def banner(settings: Settings) -> None:
    """Version, settings and routes, with the labels that people and log queries know."""
    environ = os.environ
    if "AZUREML_MODEL_DIR" not in environ:
        print("The environment variable 'AZUREML_MODEL_DIR' has not been set.")
        print("Use the --model_dir command line argument to set it.")
    key = environ.get("AML_APP_INSIGHTS_KEY")
    if key is not None and environ.get("AML_APP_INSIGHTS_ENABLED") == "true":
        if UUID.match(key):
            print("Valid Application Insights instrumentation key provided.")
        else:
            environ["AML_APP_INSIGHTS_ENABLED"] = "false"
            print("Invalid Application Insights instrumentation key provided.")
            print("Application Insights has been disabled.")
    else:
        environ["AML_APP_INSIGHTS_ENABLED"] = "false"
    cors = environ.get("AML_CORS_ORIGINS")
    labels = {
        "Entry Script Name": environ.get("AZUREML_ENTRY_SCRIPT"),
        "Model Directory": environ.get("AZUREML_MODEL_DIR"),
        "Config File": environ.get("AZUREML_CONFIG_FILE"),
        "Worker Count": settings.worker_count,
        "Worker Timeout (seconds)": environ.get("WORKER_TIMEOUT"),
        "Server Port": settings.port,
        "Health Port": environ["HEALTH_PORT"],
        "Application Insights Enabled": environ["AML_APP_INSIGHTS_ENABLED"],
        "Application Insights Key": None if key is None else "AppInsights key provided",
        "Inferencing HTTP server version": environ.get("HTTP_X_MS_SERVER_VERSION"),
        "CORS for the specified origins": None if cors is None else f"Enabling CORS for {cors}",
        "Create dedicated endpoint for health": environ.get("SEPERATE_HEALTH_ENDPOINT"),
    }
    compatible = COMPATIBLE_VERSION.partition("/")[2]
    print(f"\nAzure ML Inferencing HTTP server v{compatible}")
    print(f"(scoring-runtime {__version__}, Python {sys.version.split()[0]})\n")
    print("\nServer Settings\n---------------")
    if settings.auth != "none":
        labels["Authentication"] = settings.auth
    if settings.tls_cert:
        labels["TLS certificate"] = settings.tls_cert
    for label, value in labels.items():
        print(f"{label}: {value}")
    print("\n\nServer Routes\n---------------")
    print(f"Liveness Probe: GET   127.0.0.1:{environ['HEALTH_PORT']}/")
    print(f"Score:          POST  127.0.0.1:{settings.port}/score\n")
    for warning in settings.warnings:
        print(f"Warning: {warning}")
    sys.stdout.flush()


def check_script(settings: Settings) -> None:
    """What can be known without running it: that the file is there, and that it is Python."""
    from scoring_runtime.script import load_error, script_path

    if not settings.entry_script:
        return  # main.py is looked for by the worker, on the path that it sets up
    path = script_path(settings.entry_script, settings.app_root)
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise load_error(path, error) from None
    except OSError as error:
        raise ScriptLoadError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from None


def take_over(settings: Settings) -> tuple[Settings, list[socket.socket]]:
    """The sockets that were handed in, and the settings with the ports that those have."""
    from scoring_runtime.server.sockets import handed_in

    sockets = handed_in(settings, os.environ)
    if not sockets:
        return settings, sockets
    names = ("port", "health_port")
    ports = {name: sock.getsockname()[1] for name, sock in zip(names, sockets, strict=False)}
    numbers = ",".join(str(sock.fileno()) for sock in sockets)
    separate = settings.separate_health or len(sockets) > 1
    return settings.replace(listen_fd=numbers, separate_health=separate, **ports), sockets


def check_secured(settings: Settings, vault: Vault) -> None:
    """The front would meet the same, but alone."""
    from scoring_runtime.server.secured import Secured

    Secured(settings, vault)


def serve(settings: Settings, sockets: list[socket.socket], vault: Vault) -> None:
    from scoring_runtime.server.sockets import listen

    listeners = sockets or [listen(settings.host, settings.port)]
    if settings.separate_health and settings.health_port != settings.port and len(listeners) < 2:
        listeners.append(listen(settings.host, settings.health_port))
    from scoring_runtime.server.boot import run

    run(settings, listeners, vault)
