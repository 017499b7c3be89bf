"""What a preflight saw, as findings: what is wrong, which failure it would be in the cloud, and how to mend it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["CLOUD", "ERROR", "NOTE", "Finding", "findings", "probes"]

ERROR, WARNING, NOTE = "error", "warning", "note"

# The names under which hosts of the cloud report it.
CLOUD = {
    "import": "UserScriptImportError",
    "function": "UserScriptFunctionNotFound",
    "init": "UserScriptInitFailed",
    "died": "DeploymentCrashLoopBackOff, KubernetesCrashLoopBackOff",
    "memory": "PodOutOfMemory",
    "score": "ValidateScoringFailed; a client sees 502 (AKS) or 424 (managed endpoints)",
    "slow": "504 on AKS after 60 s, 408 on managed endpoints after 5 s",
    "probe": "Liveness probe failed, then DeploymentCrashLoopBackOff",
}
SERVER_PORTS = (5000, 5001)
V1_INITIAL_DELAY = 310  # seconds: the default of AKS deployments
MANAGED_TIMEOUT, AKS_TIMEOUT = 5.0, 60.0


class Finding(NamedTuple):
    level: str
    what: str
    cloud: str = ""
    fix: str = ""

    def line(self) -> str:
        cloud = f"\n         in the cloud: {self.cloud}" if self.cloud else ""
        fix = f"\n         fix: {self.fix}" if self.fix else ""
        return f"{self.level:>7}: {self.what}{cloud}{fix}"


def findings(
    stages: Sequence[Mapping[str, Any]],
    *,
    ended: str,
    model_dir: str | None,
    memory_gb: float | None,
    packages: Mapping[str, str],
) -> list[Finding]:
    """`ended` is "" for a child that came to its end, else what became of it; `packages`: module to pip name."""
    last = stages[-1] if stages else {"stage": "start"}
    facts = {str(stage["stage"]): stage for stage in stages}
    found = [*missing(facts, packages)]
    if "error" in last:
        found += failed(last, packages, bool(found), model_dir)
    elif ended:
        found.append(died(last, ended, memory_gb))
    found += [*environment(facts, model_dir), *times(facts), *answers(facts), *left(facts), *memory(facts, memory_gb)]
    return sorted(found, key=lambda one: (ERROR, WARNING, NOTE).index(one.level))


def pip(names: Sequence[str], packages: Mapping[str, str]) -> str:
    return f"pip install {' '.join(packages.get(name, name) for name in names)}"


def missing(facts: Mapping[str, Any], packages: Mapping[str, str]) -> list[Finding]:
    names = facts.get("start", {}).get("imports") or []
    if not names:
        return []
    what = f"packages that the script imports are not installed: {', '.join(names)}"
    fix = f"{pip(names, packages)}; and name them in the environment's conda or pip file"
    return [Finding(ERROR, what, CLOUD["import"], fix)]


def failed(stage: Mapping[str, Any], packages: Mapping[str, str], known: bool, model_dir: str | None) -> list[Finding]:
    name, message = stage["stage"], str(stage["message"])
    if name == "import" and stage["ours"] == "ScriptSignatureError":
        return [Finding(ERROR, message, CLOUD["function"])]
    if name == "import":
        if stage["missing"] and known:
            return []  # said already, with all the others
        fix = pip([stage["missing"].partition(".")[0]], packages) if stage["missing"] else ""
        return [Finding(ERROR, f"the script cannot be imported: {message}", CLOUD["import"], fix)]
    if name == "signature":
        return [Finding(ERROR, message, CLOUD["function"])]
    if name == "init":
        fix = "Give the model folder: --model_dir" if "AZUREML_MODEL_DIR" in message and not model_dir else ""
        return [Finding(ERROR, f"init() failed: {message}", CLOUD["init"], fix)]
    if name == "sample":
        return [Finding(ERROR, f"there is no sample to score: {message}", "", "Name a file with a request: --input")]
    what = "the sample" if name == "run" else "the sample, sent again,"
    return [Finding(ERROR, f"{what} could not be scored: {message}\n{stage['where']}", CLOUD["score"])]


def died(last: Mapping[str, Any], ended: str, memory_gb: float | None) -> Finding:
    where = {"start": "before the import", "import": "at the import", "init": "in init()"}.get(
        str(last["stage"]), "in run()" if "run" in str(last["stage"]) else f"after {last['stage']}"
    )
    if "SIGKILL" in ended:
        return Finding(ERROR, f"the process was killed {where} ({ended})", CLOUD["memory"], "Give it more memory.")
    if "timeout" in ended:
        fix = "Make it faster, or give the check more time: --timeout"
        return Finding(ERROR, f"still busy {where} when the time was over ({ended})", CLOUD["probe"], fix)
    return Finding(ERROR, f"the process ended {where} ({ended})", CLOUD["died"], "A script must not end its process.")


def environment(facts: Mapping[str, Any], model_dir: str | None) -> list[Finding]:
    if facts.get("start", {}).get("model_dir") and not model_dir:
        what = "the script asks for its model folder, and AZUREML_MODEL_DIR is not set here"
        return [Finding(WARNING, what, "", "Check it with the model: --model_dir FOLDER")]
    return []


def times(facts: Mapping[str, Any]) -> list[Finding]:
    found = []
    start = start_seconds(facts)
    if start is not None and start > V1_INITIAL_DELAY:
        what = f"import and init() take {start:.0f} s, longer than the {V1_INITIAL_DELAY} s that AKS waits by default"
        found.append(Finding(ERROR, what, CLOUD["probe"], "Set the probes below, and WORKER_TIMEOUT."))
    run = facts.get("run", {}).get("seconds")
    again = sorted(facts.get("times", {}).get("seconds") or [])
    if run is not None and again and run > 2 and run > 5 * again[len(again) // 2]:
        what = f"the first run() takes {run:.1f} s, the next ones {again[len(again) // 2]:.3f} s"
        found.append(Finding(WARNING, what, CLOUD["slow"], "Score a sample in init(), so that no caller waits for it."))
    elif run is not None and run > MANAGED_TIMEOUT:
        level = ERROR if run > AKS_TIMEOUT else WARNING
        found.append(Finding(level, f"run() takes {run:.1f} s", CLOUD["slow"], "Raise scoringTimeoutMs there."))
    return found


def answers(facts: Mapping[str, Any]) -> list[Finding]:
    style, answer = facts.get("style"), facts.get("answer")
    found = []
    if style and not style["sample"]:
        fix = "Name a file with a request: --input; or declare @input_schema with a sample"
        found.append(Finding(NOTE, "run() was not called: there is no sample request", "", fix))
    if style and not style["schema"]:
        found.append(Finding(NOTE, "run() declares no schema, so Swagger cannot say what it takes"))
    if answer and answer["status"] >= 400:
        what = f"the sample was answered {answer['status']}: {answer['beginning']}"
        found.append(Finding(ERROR, what, CLOUD["score"]))
    elif answer and answer["encoded_twice"]:
        what = "run() returns JSON as text: clients get it in quotes, and have to decode it twice"
        found.append(Finding(WARNING, what, "", "Return the object itself, not json.dumps of it."))
    return found


def left(facts: Mapping[str, Any]) -> list[Finding]:
    seen = facts.get("left")
    found = []
    if seen and seen["ports"]:
        taken = [port for port in seen["ports"] if port in SERVER_PORTS]
        what = f"the script listens on port {', '.join(map(str, seen['ports']))}"
        fix = "Each worker would open it again: leave ports to the server."
        found.append(Finding(ERROR if taken else WARNING, what, CLOUD["died"] if taken else "", fix))
    if seen and seen["processes"]:
        what = f"the script leaves processes behind: {'; '.join(seen['processes'])[:300]}"
        found.append(Finding(WARNING, what, "", "End them, or start them once in init()."))
    if seen and seen["threads"]:
        what = f"threads go on after run(): {', '.join(seen['threads'])[:300]}"
        found.append(Finding(NOTE, what, "", "With WORKER_PRELOAD=true they would not exist in the workers."))
    return found


def memory(facts: Mapping[str, Any], memory_gb: float | None) -> list[Finding]:
    peak = peak_bytes(facts)
    if memory_gb is None or peak <= memory_gb * 1e9 * 0.9:
        return []
    what = f"the peak of {peak / 1e9:.2f} GB leaves no room in {memory_gb:g} GB"
    return [Finding(ERROR, what, CLOUD["memory"], f"Ask for {advised_gb(peak):g} GB.")]


def peak_bytes(facts: Mapping[str, Any]) -> float:
    return max((float(stage.get("memory_bytes") or 0) for stage in facts.values()), default=0.0)


def advised_gb(peak: float) -> float:
    """A quarter more than the peak, and the server's own."""
    return math.ceil((peak * 1.25 + 1e8) / 1e8) / 10


def start_seconds(facts: Mapping[str, Any]) -> float | None:
    if "seconds" not in facts.get("init", {}):
        return None
    return float(facts["import"]["seconds"]) + float(facts["init"]["seconds"])


def probes(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings that fit the measured start: three times as long before anyone gives up. Empty without a start."""
    facts = {str(stage["stage"]): stage for stage in stages}
    start = start_seconds(facts)
    if start is None:
        return {}
    period = 2 if start < 20 else 10
    patience = max(30.0, 3 * start)
    result: dict[str, Any] = {
        "startupProbe": {"path": "/", "periodSeconds": period, "failureThreshold": math.ceil(patience / period)},
        "readinessProbe": {"path": "/readyz", "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 3},
        "livenessProbe": {"path": "/livez", "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3},
        "livenessProbeRequirements": {"initialDelaySeconds": math.ceil(patience), "timeoutSeconds": 2},
        "memoryInGB": advised_gb(peak_bytes(facts)),
    }
    if patience > 300:
        result["WORKER_TIMEOUT"] = math.ceil(patience)
    return result
