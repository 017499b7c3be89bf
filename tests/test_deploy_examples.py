"""The walk-throughs of the original's pages: run for this machine, planned and rendered for the other hosts."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scoring_runtime.deploy import InferenceConfig, Model, Workspace
from scoring_runtime.deploy.services.deploy_verbs import plan_of, wish_for
from scoring_runtime.deploy.services.deployment_file import from_file
from tests.serving import ROOT
from tests.snippets import Shell, blocks

EXAMPLES = ROOT / "examples"
NAMES = ("deploy-local", "deploy-aci", "deploy-aks")


@pytest.mark.parametrize("name", NAMES)
def test_readme_says_what_happens(name: str, tmp_path: Path) -> None:
    home = shutil.copytree(EXAMPLES / name, tmp_path / name)
    with Shell(home) as shell:
        for block in blocks(EXAMPLES / name / "README.md"):
            if not block.reason:
                shell.run(block)


def test_code_of_the_pages_runs_on_this_machine(tmp_path: Path) -> None:
    home = shutil.copytree(EXAMPLES / "deploy-local", tmp_path / "deploy-local")
    command = [sys.executable, "-c", f"import os; os.environ['SCORING_WORKSPACE']={str(tmp_path / 'ws')!r}\n"]
    command[-1] += (home / "deploy.py").read_text()

    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=90)

    assert done.returncode == 0, done.stderr
    answers = [line for line in done.stdout.splitlines() if line.startswith("Healthy [")]
    assert answers == ["Healthy [2, 5.0]", "Healthy [3, 7.5]"]


@pytest.mark.parametrize("name", NAMES)
def test_only_the_import_line_is_ours(name: str) -> None:
    tree = ast.parse((EXAMPLES / name / "deploy.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert modules == {"scoring_runtime.deploy"}


@pytest.mark.parametrize(("name", "document"), [("deploy-aci", "yaml"), ("deploy-aks", "yaml")])
def test_other_hosts_are_rendered(name: str, document: str, tmp_path: Path) -> None:
    home = EXAMPLES / name
    config = InferenceConfig.from_file(str(home / "inferenceconfig.json"))
    workspace = Workspace(str(tmp_path / "ws"))
    deployment = from_file(str(home / "deploymentconfig.json"))

    model = Model.register(workspace, str(home / "model.json"), "my-model")

    service, plan = plan_of(workspace, "myservice", wish_for(workspace, [model], config, deployment, None, None))

    texts = [text for file, text in plan.documents.items() if file.endswith(document)]
    assert texts
    assert "myservice" in texts[0]
    assert service.secrets.primary_key
    assert service.secrets.primary_key not in json.dumps(dict(plan.documents))
