"""Opens an ONNX session on the accelerator that is there, says what it runs on, and warms it before the first request.

    from scoring_runtime.api import open_session

    def init():
        global session
        session = open_session("model.onnx")  # onnxruntime's InferenceSession

SCORING_ACCELERATOR, SCORING_ACCELERATOR_POLICY and SCORING_ACCELERATOR_OPTIONS decide, unless an argument does.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping
from typing import Any

from scoring_runtime import accelerators
from scoring_runtime.accelerators import CPU, Accelerator
from scoring_runtime.api.onnx_cache import cache_folder, compiling
from scoring_runtime.api.onnx_plan import SessionPlan, cache_key, intra_op_threads, ladder, plan_session
from scoring_runtime.api.onnx_plugin import missing, with_plugin
from scoring_runtime.api.onnx_report import SessionReport, assignment, publish
from scoring_runtime.api.onnx_warm import warm
from scoring_runtime.errors import AcceleratorError, SettingsError
from scoring_runtime.threads import budget

__all__ = ["open_session", "resolve"]

# What is wrong with the model is wrong everywhere: no reason to fall back.
MODEL_ERRORS = ("NoSuchFile", "NoModel", "InvalidProtobuf", "InvalidGraph")
PREFER = "Set SCORING_ACCELERATOR_POLICY=prefer to let the processor run it."


def open_session(
    model: str | os.PathLike[str] | bytes,
    *,
    accelerator: str | None = None,
    options: Mapping[str, Any] | str | None = None,
    policy: str | None = None,
    session_options: Any = None,
    warm_up: bool | Mapping[str, Any] = True,
) -> Any:
    """An onnxruntime.InferenceSession of the model (a path or its bytes), warmed with zeros or with `warm_up`'s inputs.

    Policy "prefer" falls back to the processor and says why; "require" raises AcceleratorError unless the accelerator
    has at least one node of the graph, "require-all" unless it has all of them. The row fpga-emulation answers with an
    object of the same run(), get_inputs(), get_outputs() and get_providers().
    """
    row, given, policy = resolve(os.environ, accelerator, options, policy)
    source = model if isinstance(model, bytes) else os.fspath(model)
    started = time.monotonic()
    threads = intra_op_threads(os.environ, budget(1).per_worker)
    opener = open_emulation if row.emulated else open_on_runtime
    session, plan, nodes, reason = opener(source, row, given, policy, threads, session_options)
    opened = time.monotonic()
    problem = warm(session, warm_up)
    report = SessionReport(
        model="bytes" if isinstance(source, bytes) else os.path.basename(source),
        accelerator=row.name,
        policy=policy,
        provider=session.get_providers()[0],
        providers=tuple(session.get_providers()),
        nodes=nodes,
        fell_back=reason,
        emulated=row.emulated,
        threads=plan.threads,
        opened_ms=round(1000 * (opened - started), 1),
        warmed_ms=round(1000 * (time.monotonic() - opened), 1) if warm_up is not False and not problem else None,
        not_warmed=problem,
        cache=plan.cache,
    )
    publish(report)
    return session


def resolve(
    environ: Mapping[str, str],
    name: str | None = None,
    options: Mapping[str, Any] | str | None = None,
    policy: str | None = None,
) -> tuple[Accelerator, Mapping[str, Any], str]:
    """The row, its checked options and the policy, by argument, else by the environment; raises SettingsError."""
    asked = environ.get(accelerators.SETTING) or "cpu"
    row = accelerators.accelerator(name or asked)
    if options is None:  # those in the environment are of the accelerator in the environment
        same = row == accelerators.accelerator(asked)
        options = environ.get(accelerators.OPTIONS_SETTING, "") if same else ""
    given = accelerators.parse_options(options) if isinstance(options, str) else options
    chosen = (policy or environ.get(accelerators.POLICY_SETTING) or row.policy).lower()
    if chosen not in accelerators.POLICIES:
        raise SettingsError(accelerators.POLICY_SETTING, chosen, f"one of {', '.join(accelerators.POLICIES)}")
    return row, row.check(given), chosen


Opened = tuple[Any, SessionPlan, dict[str, int], str]


def open_on_runtime(
    model: str | bytes, row: Accelerator, options: Mapping[str, Any], policy: str, threads: int, session_options: Any
) -> Opened:
    """The session on the first step of the ladder that holds, its plan, its nodes, and why it is not a higher one."""
    runtime = import_onnxruntime(row)
    row = with_plugin(runtime, row)
    version: str = runtime.__version__
    caches = bool(row.options)
    key = cache_key(model, version, row, options) if caches else ""
    plan = plan_session(row, options, policy, threads, version, cache_folder(os.environ) if caches else "", key)
    reasons: list[str] = []
    for step in ladder(plan):
        session, nodes, reason, fix = attempt(runtime, model, step, session_options, row)
        if reason and policy != "prefer":
            raise AcceleratorError(row.name, policy, reason, fix)
        if reason:
            reasons.append(reason)
        if session is not None:
            if policy != "prefer":
                session.disable_fallback()  # not even when a run fails on it
            return session, step, nodes, "; ".join(reasons)
    raise AssertionError("the ladder ends on the processor")


def attempt(
    runtime: Any, model: str | bytes, plan: SessionPlan, session_options: Any, row: Accelerator
) -> tuple[Any, dict[str, int], str, str]:
    """A session and its nodes, or None and why not, with what to do about it."""
    first = plan.providers[0][0]
    reason = missing(runtime, row, first)
    if reason:
        return None, {}, reason, row.fix
    try:
        session = create(runtime, model, plan, session_options)
    except Exception as error:
        if first == CPU or type(error).__name__ in MODEL_ERRORS:
            raise
        return None, {}, f"{first} raised {type(error).__name__}: {gist(error)}", PREFER
    nodes = assignment(session)
    reason = f"{first} takes no node of this model" if nodes and not nodes.get(first) else ""
    return session, nodes, reason, PREFER


def gist(error: Exception) -> str:
    """A provider says first where in its source it was, and last what is wrong."""
    text = " ".join(str(error).split())
    return text if len(text) < 500 else f"{text[:120]} ... {text[-360:]}"


def create(runtime: Any, model: str | bytes, plan: SessionPlan, session_options: Any) -> Any:
    """The only place that opens a session."""
    options = runtime.SessionOptions() if session_options is None else session_options
    if options.intra_op_num_threads == 0:  # its own "choose for me"
        options.intra_op_num_threads = plan.threads
    for name, value in plan.config.items():
        options.add_session_config_entry(name, value)
    for name, value in plan.environ.items():
        os.environ.setdefault(name, value)
    providers = [(name, dict(given)) for name, given in plan.providers]
    with compiling(plan.cache):
        # Its own fallback would be silent; ours is said.
        return runtime.InferenceSession(model, options, providers=providers, enable_fallback=0)


def import_onnxruntime(row: Accelerator) -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ModuleNotFoundError:
        fix = f"Run: pip install {row.package or 'onnxruntime'}"
        raise AcceleratorError(row.name, "require", "onnxruntime is not installed", fix) from None


def open_emulation(
    model: str | bytes, row: Accelerator, options: Mapping[str, Any], policy: str, threads: int, session_options: Any
) -> Opened:
    """An emulated kernel. It is asked for by name: there is nothing to fall back from."""
    from scoring_runtime.emulation.session import EmulatedSession

    folder = options.get("cache_dir") or cache_folder(os.environ)
    session = EmulatedSession.open(model, options, folder)
    plan = SessionPlan(((row.providers[0], options),), 1, cache=folder)
    return session, plan, {row.providers[0]: session.nodes}, ""
