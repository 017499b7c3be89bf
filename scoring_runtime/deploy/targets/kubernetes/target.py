"""The Kubernetes host: documents are applied with our name on them, what is no longer wanted goes, states come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, Plan, Progress, Status
from scoring_runtime.deploy.targets.kubernetes.api import Api, Forbidden
from scoring_runtime.deploy.targets.kubernetes.applying import SCALERS, apply_one, of_controller, refuse_strangers
from scoring_runtime.deploy.targets.kubernetes.checks import key_of, problems, refused_changes
from scoring_runtime.deploy.targets.kubernetes.config import hidden
from scoring_runtime.deploy.targets.kubernetes.differences import differences
from scoring_runtime.deploy.targets.kubernetes.documents import documents, file_name, kubernetes_yaml
from scoring_runtime.deploy.targets.kubernetes.kinds import KINDS
from scoring_runtime.deploy.targets.kubernetes.labels import owned_by
from scoring_runtime.deploy.targets.kubernetes.network import public_path
from scoring_runtime.deploy.targets.kubernetes.observed import crashed, current_pods
from scoring_runtime.deploy.targets.kubernetes.serverless_state import address
from scoring_runtime.deploy.targets.kubernetes.watched import WATCHED, Watched
from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = ["KubernetesTarget"]

CRASH_LINES = 200
Document = dict[str, Any]


class KubernetesTarget:
    """One namespace of a cluster that is there."""

    def __init__(self, cluster: Cluster, namespace: str = "") -> None:
        self.cluster = cluster
        self.namespace = namespace

    @cached_property
    def api(self) -> Api:
        return Api(self.cluster, self.namespace)

    def plan(self, service: Service) -> Plan:
        """Files for `kubectl apply -f`."""
        made = checked(service, self.cluster)
        steps = tuple(f"Apply {document['kind']} {document['metadata']['name']}." for document in made)
        return Plan(
            (*steps, "Delete what earlier revisions had and this one has not."),
            {file_name(document): kubernetes_yaml([hidden(document)]) for document in made},
            {file_name(document): kubernetes_yaml([document]) for document in made},
        )

    def diff(self, service: Service) -> dict[str, list[str]]:
        """What apply() would change, asked of the cluster by a dry run: object -> changes."""
        live = {key_of(document): document for document in self.live(service)}
        wanted = checked(service, self.cluster)
        result = {}
        for document in wanted:
            before = live.get(key_of(document))
            if found := differences(before, apply_one(self.api, document, before, dry_run=True)):
                result[title(document)] = found
        for gone in live.keys() - {key_of(document) for document in wanted}:
            result[title(live[gone])] = ["deleted"]
        return result

    def apply(self, service: Service, progress: Progress) -> None:
        wanted = checked(service, self.cluster)
        self.api.needs_namespace()
        live = {key_of(document): document for document in self.live(service)}
        refused = [text for one in wanted for text in refused_changes(live.get(key_of(one), one), one)]
        if refused:
            raise TargetError(f"{service.name}: the cluster would refuse this update: {'; '.join(refused)}.")
        refuse_strangers(self.api, service.name, wanted, live)
        keep = {key_of(document) for document in wanted}
        gone = [document for key, document in live.items() if key not in keep]
        # An autoscaler goes first: two must not have the same Deployment, and none one with a fixed number.
        self.remove([document for document in gone if document["kind"] in SCALERS], progress)
        for document in wanted:
            progress(f"{'changing' if key_of(document) in live else 'creating'} {title(document)}")
            apply_one(self.api, document, live.get(key_of(document)))
        self.remove([document for document in gone if document["kind"] not in SCALERS], progress)

    def remove(self, documents: Sequence[Document], progress: Progress) -> None:
        for document in documents:
            progress(f"deleting {title(document)}")
            self.api.delete(document)

    def live(self, service: Service) -> list[Document]:
        """All objects of the service that we made, whatever the kind; not those that controllers made of them.

        Knative and KServe hand our labels on to their own objects.
        """
        found = []
        for version, kind in KINDS:
            try:
                listed = self.api.list(version, kind, owned_by(service.name))
            except Forbidden:
                continue  # a kind that we may not see we have not made
            found += [one for one in listed if not of_controller(one)]
        return found

    def status(self, service: Service) -> Status:
        watched = self.watched
        live = self.api.read(watched.version, watched.kind, service.name)
        if live is None:
            return Status(FAILED, f"There is no {watched.kind} of it in the cluster. Deploy it again.")
        everything = self.pods(service)
        pods = current_pods(live["spec"][watched.template], everything)
        logs = {pod["metadata"]["name"]: self.crash_log(pod) for pod in pods if crashed(pod)}
        serverless = self.cluster.workload != "deployment"
        found = watched.state(live, pods, logs, address(live) if serverless else self.scoring_uri(service))
        if serverless and found.state == HEALTHY and everything and not pods:
            return replace(found, state=TRANSITIONING)  # its controller has not seen the change yet
        return found

    @property
    def watched(self) -> Watched:
        return WATCHED[self.cluster.workload]

    def pods(self, service: Service) -> list[Document]:
        found = self.api.list("v1", "Pod", self.watched.pods_of(service.name))
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def crash_log(self, pod: Document) -> str:
        """Of the container that crashed; of the one that runs now where that is gone."""
        name, container = pod["metadata"]["name"], self.watched.container
        return self.api.logs(name, container, CRASH_LINES, True) or self.api.logs(name, container, CRASH_LINES)

    def logs(self, service: Service, lines: int, init: bool = False) -> str:
        """Of all replicas; each line says of which, where there are several."""
        pods = [pod["metadata"]["name"] for pod in self.pods(service)]
        if len(pods) < 2:
            return "".join(self.api.logs(pod, self.watched.container, lines) for pod in pods)
        texts = {pod: self.log_of(pod, lines) for pod in pods}
        return "".join(f"{pod} {line}\n" for pod, text in texts.items() for line in text.splitlines())

    def log_of(self, pod: str, lines: int) -> str:
        """Of one of several: the others' are not lost for a node that does not answer."""
        try:
            return self.api.logs(pod, self.watched.container, lines)
        except Forbidden:
            raise
        except TargetError as error:
            return f"(no log: {error})"

    def delete(self, service: Service, progress: Progress) -> None:
        self.remove(self.live(service), progress)

    def scoring_uri(self, service: Service) -> str | None:
        """From outside where there is a way in, else inside the cluster."""
        route = self.cluster.route
        if route.kind != "none" and route.host and not service.part_of:
            tls = service.secrets.tls_certificate or route.gateway
            return f"{'https' if tls else 'http'}://{route.host}{public_path(service.name)}/score"
        found = self.api.read("v1", "Service", service.name) or {}
        scheme = "https" if service.secrets.tls_certificate and route.kind == "none" else "http"
        for ingress in found.get("status", {}).get("loadBalancer", {}).get("ingress", []):
            return f"{scheme}://{ingress.get('hostname') or ingress.get('ip')}/score"
        return f"{scheme}://{service.name}.{self.api.namespace}.svc/score"


def checked(service: Service, cluster: Cluster) -> list[Document]:
    made = documents(service, cluster)
    if found := problems(made):
        raise TargetError(f"{service.name}: a cluster would not run this: {'; '.join(found)}.")
    return made


def title(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"
