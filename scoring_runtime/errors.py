"""Everything that can go wrong, as one tree.

ScoringRuntimeError
 |- SettingsError                 a flag, environment variable or config key is wrong        exit 3
 |- ScriptError                   the user's script cannot be served                         exit 3
 |   |- ScriptLoadError           missing file, syntax error, import error
 |   |- ScriptSignatureError      no init() or run(), or run() cannot be called
 |   |- ScriptInitError           init() raised
 |   |- AcceleratorError          the accelerator that is required cannot be used
 |- PortError                     the port cannot be bound                                   exit 3
 |- RequestError(.status)         becomes an HTTP answer
 |   |- BadInput 400              the body or a parameter is not what run() takes
 |   |- Unauthorized 401          no key or token that this service accepts
 |   |- NotFound 404              no such path
 |   |- MethodNotAllowed 405      no run() for this method
 |   |- RequestTimeout 408        the client took too long to send
 |   |- PayloadTooLarge 413
 |   |- UnsupportedInput 415      the content type is not JSON
 |   |- Misdirected 421           a score on the port for probes
 |   |- HeaderTooLong 431
 |   |- ScriptFailed 500          run() raised, or its result cannot be written
 |   |- ScriptTimedOut 500        run() took longer than SCORING_TIMEOUT_MS
 |   |- WorkerLost 502            the worker that ran this request died
 |   |- Overloaded 503            no slot in time; carries Retry-After
 |       |- NotReady              starting, stuck or shutting down
 |- BatchError(.exit_code)        a batch run cannot start, or did not succeed
 |   |- BatchInputError 4          no input, or it cannot be read
 |   |- BatchThresholdError 5      more failed than was allowed, or nothing succeeded
 |   |- BatchResumeError 6         the output folder holds another run, or is in use
 |   |- BatchOutputError 6         it cannot be written
 |- DeployError                   registry, image or service operations
     |- WorkspaceError              there is no such workspace, or it is in use
     |   |- WorkspaceReadOnly       it lies at a URL
     |- ConfigError(.key)          a value of a configuration, file or argument, breaks a rule
     |- ServiceNotFound            no service by that name
     |- ServiceExists              one by that name is there already
     |- ServiceBusy                another operation works on the service
     |- BlobCorrupt                 a stored file is not what was stored
     |- FilesChanged                a file was written to while it was read
     |- DiskFull
     |- ModelNotFound
     |- ModelError                  cannot be registered, downloaded or changed as asked
     |   |- ModelInUse              an image or a service needs it
     |- NoScript                    no inference config, and none can be made for these models
     |- PackagingError              the image or app root cannot be made from what was given
     |   |- BadEnvironment            an environment, or a file of one, cannot be
     |   |- ResolutionError           packages that cannot be had together, or not for that platform
     |- MissingPackage              what was asked for needs a package that is not installed
     |- ImageNotFound              no image, or no version of it, by that name
     |- ImageInUse                 a service uses the image
     |- RegistryError              a registry of images cannot be reached, is not trusted, or refuses
     |- TargetError, ServiceFailed

Each builds its message from what was expected, what came, and what to do about it.
"""

from __future__ import annotations

__all__ = [
    "AcceleratorError",
    "BadEnvironment",
    "BadInput",
    "BatchError",
    "BatchInputError",
    "BatchOutputError",
    "BatchResumeError",
    "BatchThresholdError",
    "BlobCorrupt",
    "ConfigError",
    "DeployError",
    "DiskFull",
    "FilesChanged",
    "HeaderTooLong",
    "ImageInUse",
    "ImageNotFound",
    "MethodNotAllowed",
    "Misdirected",
    "MissingPackage",
    "ModelError",
    "ModelInUse",
    "ModelNotFound",
    "NoScript",
    "NotFound",
    "NotReady",
    "Overloaded",
    "PackagingError",
    "PayloadTooLarge",
    "PortError",
    "RegistryError",
    "RequestError",
    "RequestTimeout",
    "ResolutionError",
    "ScoringRuntimeError",
    "ScriptError",
    "ScriptFailed",
    "ScriptInitError",
    "ScriptLoadError",
    "ScriptSignatureError",
    "ScriptTimedOut",
    "ServiceBusy",
    "ServiceExists",
    "ServiceFailed",
    "ServiceNotFound",
    "SettingsError",
    "TargetError",
    "Unauthorized",
    "UnsupportedInput",
    "WorkerLost",
    "WorkspaceError",
    "WorkspaceReadOnly",
]


class ScoringRuntimeError(Exception):
    """The root: catch this to catch everything of ours."""


class SettingsError(ScoringRuntimeError):
    """A setting has a value it cannot have."""

    def __init__(self, name: str, value: object, expected: str, fix: str = "") -> None:
        self.name = name
        text = f"{name}: expected {expected}, got {value!r}."
        super().__init__(f"{text} {fix}" if fix else text)


class ScriptError(ScoringRuntimeError):
    """The user's script cannot be served."""


class ScriptLoadError(ScriptError):
    """The script file is missing, does not parse, or raised while it was imported."""


class ScriptSignatureError(ScriptError):
    """The script lacks init() or run(), or run() has a signature that cannot be called."""


class ScriptInitError(ScriptError):
    """The script's init() raised."""


class AcceleratorError(ScriptError):
    """The accelerator that is required cannot be used for a model."""

    def __init__(self, accelerator: str, policy: str, reason: str, fix: str) -> None:
        super().__init__(f"The accelerator {accelerator} is needed (policy {policy}), but {reason}. {fix}".strip())


class PortError(ScoringRuntimeError):
    """A port cannot be listened on."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"Cannot listen on {host}:{port}: {reason}. "
            f"Choose another one with --port, or end the process that holds it (ss -ltnp 'sport = :{port}')."
        )


class RequestError(ScoringRuntimeError):
    """A request that is answered with an error status instead of a score."""

    status = 500
    run_failed = False


class BadInput(RequestError):
    status = 400


class Unauthorized(RequestError):
    """`reason` is what was wrong with what came; empty where nothing came."""

    status = 401

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class NotFound(RequestError):
    status = 404

    def __init__(self) -> None:
        super().__init__(
            "The requested URL was not found on the server. If you entered the URL manually please check your spelling "
            "and try again."
        )


class MethodNotAllowed(RequestError):
    status = 405

    def __init__(self) -> None:
        super().__init__("Method not allowed")


class RequestTimeout(RequestError):
    status = 408


class PayloadTooLarge(RequestError):
    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request body is larger than {limit_bytes} bytes, the limit of this service.")


class UnsupportedInput(RequestError):
    status = 415


class Misdirected(RequestError):
    status = 421

    def __init__(self, port: int) -> None:
        super().__init__(f"This port is for probes. The service is on port {port}.")


class HeaderTooLong(RequestError):
    status = 431


class ScriptFailed(RequestError):
    run_failed = True


class ScriptTimedOut(RequestError):
    run_failed = True

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(f"Scoring timeout after {timeout_ms} ms")


class WorkerLost(RequestError):
    status = 502


class Overloaded(RequestError):
    status = 503

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotReady(Overloaded):
    def __init__(self, message: str) -> None:
        super().__init__(message, 1)


class BatchError(ScoringRuntimeError):
    """A batch run cannot start, or did not succeed."""

    exit_code = 2


class BatchInputError(BatchError):
    """The input cannot be found or read."""

    exit_code = 4


class BatchThresholdError(BatchError):
    """More items or mini-batches failed than was allowed, or none succeeded."""

    exit_code = 5


class BatchResumeError(BatchError):
    """The output folder holds another run, or another process is writing to it."""

    exit_code = 6


class BatchOutputError(BatchError):
    """The run's folder cannot be written: what is committed stays, and the same command continues."""

    exit_code = 6

    def __init__(self, output: str, reason: object) -> None:
        super().__init__(
            f"The output {output} cannot be written: {reason}. What was scored before is kept: mend that, and the same "
            "command continues."
        )


class DeployError(ScoringRuntimeError):
    """A registry, image or service operation failed."""


class WorkspaceError(DeployError):
    """There is no such workspace, or it cannot be used now."""


class WorkspaceReadOnly(WorkspaceError):
    """A workspace at a URL can only be read."""

    def __init__(self, where: str, what: str = "this") -> None:
        super().__init__(
            f"{where} is read-only, as every workspace at a URL: {what} was refused; listing, looking and downloading "
            "work. Name a folder with --workspace or SCORING_WORKSPACE."
        )


class BlobCorrupt(DeployError):
    """A stored file is not what was stored."""

    def __init__(self, where: str, sha256: str, what: str) -> None:
        super().__init__(
            f"{where}: the stored file {sha256} is damaged: {what}. Register the same files again, which repairs it, "
            "or restore blobs/sha256 from a backup; of an image's layer remove that file and build it again."
        )


class FilesChanged(DeployError):
    """A file was written to while it was read."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} changed while it was read, so nothing was stored. Wait until what writes it has ended, or copy it "
            "elsewhere first, and try again."
        )


class DiskFull(DeployError):
    """There is no room."""

    def __init__(self, folder: str, needed: int) -> None:
        what = f"{needed:,} bytes do not fit on this disk" if needed else "the disk is full"
        super().__init__(
            f"{folder}: {what} (df -h {folder}). Remove something, or use a workspace elsewhere: --workspace FOLDER."
        )


class ModelNotFound(DeployError):
    """No model, or no version of it, by that name."""


class ModelError(DeployError):
    """A model cannot be registered, downloaded or changed as asked."""


class ModelInUse(ModelError):
    """It cannot be deleted: an image or a service needs it."""

    def __init__(self, id: str, users: list[str]) -> None:
        self.users = users
        super().__init__(f"The model {id} is used by {', '.join(users)}. Delete those first.")


class NoScript(DeployError):
    """There is no inference config, and none can be made for these models."""

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(
            f"Without an inference config: expected {expected}, got {got}. Write a score.py and pass "
            "InferenceConfig(entry_script='score.py'), or on the command line --ic inferenceconfig.json."
        )


class PackagingError(DeployError):
    """The image cannot be built from what was given."""


class BadEnvironment(PackagingError):
    """The environment, or a file that describes one, cannot be used."""


class ResolutionError(PackagingError):
    """No set of wheels fits the requirements, the Python and the platform."""


class MissingPackage(DeployError):
    """What was asked for needs a package that is not installed; the message ends with the command."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} need {package}, which is not installed. Run: pip install 'scoring-runtime[{extra}]'")


class TargetError(DeployError):
    """The host refused, or cannot do what was asked."""


class ServiceFailed(DeployError):
    """The service did not become healthy."""


class ConfigError(DeployError):
    """A value breaks a rule. Says the file, the key path, the value, the rule, and what to do."""

    def __init__(self, key: str, value: object, expected: str, fix: str = "", file: str = "") -> None:
        self.key = key
        self.parts = (value, expected, fix)
        where = f"{file}: {key}" if file else key
        text = f"{where}: expected {expected}, got {'nothing' if value is None else repr(value)}."
        super().__init__(f"{text} {fix}" if fix else text)

    def within(self, file: str, key: str) -> ConfigError:
        """The same, for the place where the value was read."""
        return ConfigError(key, *self.parts, file=file)


class ServiceNotFound(DeployError):
    """No service by that name in this workspace."""


class ServiceExists(DeployError):
    """A service by that name is there already."""


class ServiceBusy(DeployError):
    """Another process works on this service."""


class ImageNotFound(DeployError):
    """No image, or no version of it, by that name."""


class ImageInUse(DeployError):
    """The image cannot be removed while a service uses it."""


class RegistryError(DeployError):
    """A registry of images cannot be reached, is not trusted, or refuses."""
