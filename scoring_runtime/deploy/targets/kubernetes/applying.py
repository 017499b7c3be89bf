"""What a cluster must be told beside the objects: whose an object is, and who says how many replicas there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scoring_runtime.deploy.targets.kubernetes.api import Api, Conflict, Forbidden
from scoring_runtime.deploy.targets.kubernetes.checks import key_of
from scoring_runtime.deploy.targets.kubernetes.labels import MANAGER, selector
from scoring_runtime.errors import TargetError

__all__ = ["HAND_OVER", "SCALERS", "apply_one", "of_controller", "refuse_strangers"]

SCALERS = ("ScaledObject", "HorizontalPodAutoscaler")
HAND_OVER = f"{MANAGER}-replicas"  # has the number of replicas between us and an autoscaler
CONTROLLER = "kube-controller-manager"  # in whose name autoscalers, KEDA's too, change the number
REPLICAS = ".spec.replicas"
Document = dict[str, Any]


def refuse_strangers(api: Api, name: str, wanted: Iterable[Document], live: Mapping[Any, Document]) -> None:
    """Raises TargetError for an object of this name that is not the service's: we would change it, and delete it."""
    if api.force:
        return
    for document in wanted:
        if key_of(document) in live:
            continue
        kind, named = document["kind"], document["metadata"]["name"]
        try:
            found = api.read(document["apiVersion"], kind, named)
        except Forbidden:
            continue
        if found is None:
            continue
        owners = [one for one in found["metadata"].get("ownerReferences", []) if one.get("controller")]
        if owners:
            raise TargetError(
                f"{name}: the {kind} {named} in the namespace {api.namespace} belongs to the {owners[0]['kind']} "
                f"{owners[0]['name']}. Delete the service first (scoring service delete), or deploy under another name."
            )
        if not selector(name).items() <= found["metadata"].get("labels", {}).items():
            raise TargetError(
                f"{name}: the namespace {api.namespace} has another {kind} {named}, which is not this service's. "
                "Deploy under another name; or delete it: "
                f"kubectl delete {kind.lower()} {named} --namespace {api.namespace}"
            )


def apply_one(api: Api, wanted: Document, live: Document | None, dry_run: bool = False) -> Document:
    """Apply it. The number of replicas passes from us to an autoscaler without falling to 1, and back.

    A field that its last manager no longer applies goes to its default, and one that an autoscaler has set is its own.
    """
    if wanted["kind"] != "Deployment":
        return api.apply(wanted, dry_run)
    replicas = (live or {}).get("spec", {}).get("replicas")
    if "replicas" not in wanted["spec"] and replicas is not None and ours(live or {}):
        if dry_run:
            wanted = {**wanted, "spec": {**wanted["spec"], "replicas": replicas}}
        else:
            api.apply(only_replicas(wanted, replicas), manager=HAND_OVER)
    try:
        return api.apply(wanted, dry_run)
    except Conflict as conflict:
        theirs = [field == REPLICAS and of_autoscaler(who) for field, who in conflict.causes.items()]
        if not theirs or not all(theirs):
            raise
        return api.apply(wanted, dry_run, force=True)


def ours(live: Document) -> bool:
    """Whether we have set the number of replicas, and nobody else has since."""
    return any(
        one.get("manager") == MANAGER and "f:replicas" in one.get("fieldsV1", {}).get("f:spec", {})
        for one in live["metadata"].get("managedFields", [])
    )


def only_replicas(document: Document, replicas: int) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name in ("name", "namespace")}
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }


def of_autoscaler(words: str) -> bool:
    return f'"{CONTROLLER}"' in words or f'"{HAND_OVER}"' in words


def of_controller(document: Document) -> bool:
    return any(owner.get("controller") for owner in document["metadata"].get("ownerReferences", []))
