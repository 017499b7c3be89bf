"""`scoring service list|show|run|logs|keys|...`: each verb is a few lines on Webservice."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scoring_runtime.cli.deploy import inference_from, plan_text
from scoring_runtime.cli.output import Steps, show, table
from scoring_runtime.cli.service_flags import add_verb, add_waiting, finish, key_or_pair, pair
from scoring_runtime.cli.sizing import add_plan, add_profile

if TYPE_CHECKING:
    from scoring_runtime.deploy import Webservice, Workspace

__all__ = ["add_to"]

COLUMNS = ("name", "host", "state", "revision", "address", "models")


def add_to(nouns: Any, help: str) -> None:
    noun = nouns.add_parser("service", help=help)
    verbs = noun.add_subparsers(dest="verb", required=True, metavar="verb")
    add_list(verbs)
    add_verb(verbs, "show", "everything about one that is no secret", show_command)
    run = add_verb(verbs, "run", "send a request", run_command)
    run.add_argument("-d", "--input-data", default="-", metavar="JSON", help="or @FILE, or - for stdin, the default")
    logs = add_verb(verbs, "logs", "what it has written", logs_command, "get-logs")
    logs.add_argument("--lines", type=int, default=5000, metavar="N")
    logs.add_argument("-i", "--init", action="store_true", help="of the init container, on Kubernetes")
    add_verb(verbs, "keys", "primary and secondary key", keys_command, "get-keys")
    regen = add_verb(verbs, "regen-key", "replace one key; the other goes on working", regen_command)
    regen.add_argument("-k", "--key", required=True, choices=("Primary", "Secondary", "primary", "secondary"))
    regen.add_argument("-s", "--set-key", metavar="VALUE", help="else one is made")
    add_verb(verbs, "token", "a token for callers, and when to get the next", token_command, "get-access-token")
    add_update(verbs)
    for name, what in (("reload", "code and models as they are now"), ("rollback", "the revision before this one")):
        add_waiting(add_verb(verbs, name, what, reload_command if name == "reload" else rollback_command))
    delete = add_verb(verbs, "delete", "end and forget it; models and images stay", delete_command)
    delete.add_argument("--dry-run", action="store_true", help="only say what would go")
    add_plan(verbs)
    add_profile(verbs)
    wait = add_verb(verbs, "wait", "until it is healthy, or has failed", wait_command)
    wait.add_argument("--timeout", type=float, metavar="SECONDS", help="default: for ever")


def add_list(verbs: Any) -> None:
    parser = verbs.add_parser("list", help="what there is, and how it is", allow_abbrev=False)
    add = parser.add_argument
    add("--compute-type", choices=("local", "aci", "aks", "aksendpoint", "iot"))
    add("--image-name")
    add("--image-id")
    add("--model-name")
    add("--model-id", metavar="NAME:VERSION")
    add("--tag", dest="tags", action="append", type=key_or_pair, metavar="KEY[=VALUE]")
    add("--property", dest="properties", action="append", type=key_or_pair, metavar="KEY[=VALUE]")
    finish(parser, list_command)


def add_update(verbs: Any) -> None:
    parser = add_verb(verbs, "update", "another model, script or configuration", update_command)
    add = parser.add_argument
    add("-m", "--model", dest="models", action="append", metavar="NAME[:VERSION]", help="repeatable; takes all places")
    add("--ic", "--inference-config-file", dest="inference", metavar="FILE")
    add("--dc", "--deploy-config-file", dest="deployment", metavar="FILE")
    add("--image", metavar="NAME:VERSION")
    add("--env", dest="environ", action="append", type=pair, metavar="NAME=VALUE", help="repeatable")
    add("--tag", dest="tags", action="append", type=pair, metavar="KEY=VALUE", help="takes the place of all tags")
    add("--property", dest="properties", action="append", type=pair, metavar="KEY=VALUE", help="adds it")
    add("-d", "--description", metavar="TEXT")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add_waiting(parser)


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    from scoring_runtime.deploy import Workspace

    return Workspace(arguments.workspace)


def service_of(arguments: argparse.Namespace) -> Webservice:
    from scoring_runtime.deploy import Webservice
    from scoring_runtime.errors import ConfigError

    name = arguments.service or arguments.named
    if not name:
        raise ConfigError("name", None, "the name of a service", "See: scoring service list")
    return Webservice(workspace_of(arguments), name)


def row_of(service: Webservice) -> dict[str, Any]:
    whole = service.serialize()
    return {
        **{name: whole[name] for name in ("name", "state", "revision", "error")},
        "host": whole["compute_type"],
        "address": whole["scoring_uri"],
        "models": whole["models"],
    }


def list_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import Webservice
    from scoring_runtime.errors import ServiceNotFound

    names = ("compute_type", "image_name", "image_id", "model_name", "model_id", "tags", "properties")
    filters = {name: getattr(arguments, name) for name in names}
    rows = []
    for one in Webservice.list(workspace_of(arguments), **filters):
        with suppress(ServiceNotFound):  # deleted while we look
            rows.append(row_of(one))
    flat = [{**row, "address": row["address"] or "", "models": " ".join(row["models"])} for row in rows]
    show(rows, arguments.json, lambda: table(flat, COLUMNS))
    for row in rows:
        if row["error"] and not arguments.json:
            print(f"{row['name']}: {row['error'].splitlines()[0]}", file=sys.stderr)


def show_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import LocalWebservice

    service = service_of(arguments)
    document = service.serialize()
    if isinstance(service, LocalWebservice):
        document["limits"] = service.limits
    shown = {key: value for key, value in document.items() if value not in (None, "", {}, [])}
    show(document, arguments.json, lambda: "\n".join(f"{key}: {value}" for key, value in shown.items()))


def run_command(arguments: argparse.Namespace) -> None:
    import json

    given = arguments.input_data
    if given == "-":
        given = sys.stdin.read()
    elif given.startswith("@"):
        with open(given[1:], "rb") as file:
            given = file.read()
    print(json.dumps(service_of(arguments).run(given)))


def logs_command(arguments: argparse.Namespace) -> None:
    text = service_of(arguments).get_logs(arguments.lines, init=arguments.init)
    show({"logs": text}, arguments.json, lambda: text.rstrip("\n"))


def keys_command(arguments: argparse.Namespace) -> None:
    primary, secondary = service_of(arguments).get_keys()
    document = {"primaryKey": primary, "secondaryKey": secondary}
    show(document, arguments.json, lambda: f"primaryKey: {primary}\nsecondaryKey: {secondary}")


def regen_command(arguments: argparse.Namespace) -> None:
    service_of(arguments).regen_key(arguments.key, arguments.set_key)
    show({"regenerated": arguments.key.capitalize()}, arguments.json, lambda: "Done. See: scoring service keys")


def token_command(arguments: argparse.Namespace) -> None:
    document = service_of(arguments).get_access_token()
    show(document, arguments.json, lambda: str(document["accessToken"]))


def update_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy.services.deploy_verbs import plan_of
    from scoring_runtime.deploy.services.deployment_file import from_file
    from scoring_runtime.deploy.services.update_arguments import wish_of

    service, steps = service_of(arguments), Steps(arguments.json)
    named = {
        "models": arguments.models,
        "inference_config": arguments.inference and inference_from(workspace_of(arguments), arguments.inference, steps),
        "deployment_config": arguments.deployment and from_file(arguments.deployment, steps),
        "image": arguments.image,
        "environ": arguments.environ and dict(arguments.environ),
        "tags": arguments.tags and dict(arguments.tags),
        "properties": arguments.properties and dict(arguments.properties),
        "description": arguments.description,
    }
    if arguments.dry_run:
        _, wish = wish_of(service.workspace, service.service, (), named, False)
        _, plan = plan_of(service.workspace, service.name, wish)
        show({"steps": plan.steps, "documents": dict(plan.documents)}, arguments.json, lambda: plan_text(plan))
        return
    service.update(progress=steps, **named)
    ended(service, arguments, steps)


def reload_command(arguments: argparse.Namespace) -> None:
    service, steps = service_of(arguments), Steps(arguments.json)
    service.reload(progress=steps)
    ended(service, arguments, steps)


def rollback_command(arguments: argparse.Namespace) -> None:
    service, steps = service_of(arguments), Steps(arguments.json)
    service.rollback(progress=steps)
    ended(service, arguments, steps)


def ended(service: Webservice, arguments: argparse.Namespace, steps: Steps) -> None:
    if not arguments.no_wait:
        service.wait_for_deployment(timeout_sec=arguments.timeout)
        steps("healthy")
    row = row_of(service)
    show(row, arguments.json, lambda: f"{row['state']}  {row['address'] or ''}  revision {row['revision']}")


def delete_command(arguments: argparse.Namespace) -> None:
    service = service_of(arguments)
    if arguments.dry_run:
        row = row_of(service)
        show(row, arguments.json, lambda: f"Would delete {service.name} ({row['host']}, {row['state']}).")
        return
    service.delete(progress=Steps(arguments.json))
    show({"deleted": service.name}, arguments.json, lambda: f"Deleted {service.name}.")


def wait_command(arguments: argparse.Namespace) -> None:
    service = service_of(arguments)
    arguments.no_wait = False
    ended(service, arguments, Steps(arguments.json))
