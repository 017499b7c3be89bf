"""The code blocks of a Markdown file, and a shell that runs them: what the documents show is what happens.

```python   with a run() in it: becomes score.py; any other is run
```bash     each line is run; `scoring-serve ...` starts the server on a free port, and waits until it is ready
```json     or text: after a bash block, the output of its commands
```yaml     for somebody else's files: only shown
<!-- not run: why -->   before a block, leaves it alone
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring_runtime.deploy import Webservice, Workspace
from scoring_runtime.deploy.services.service_folder import service_names
from tests.serving import ROOT, Server

BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n+)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
STARTS = re.compile(
    r"(?:cd (?P<folder>\S+) && )?(?P<environ>(?:[A-Z_]+=(?:'[^']*'|\S*) )*)"
    r"scoring-serve (?P<arguments>(?!--help|--version).*)"
)
COMMANDS = {
    "python ": [sys.executable],
    "scoring-serve ": [sys.executable, "-m", "scoring_runtime"],
    "scoring ": [sys.executable, "-c", "from scoring_runtime.cli.main import main; main()"],
}
ADDRESS = "127.0.0.1:5001"


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    reason: str  # why it is not run; empty when it is

    @property
    def is_script(self) -> bool:
        return self.language == "python" and re.search(r"^(async )?def run\(", self.text, re.MULTILINE) is not None


def blocks(path: Path) -> list[Block]:
    return [Block(m["language"], m["text"], m["reason"] or "") for m in BLOCK.finditer(path.read_text())]


def documents(text: str) -> list[Any]:
    """All the JSON values in a text, one after the other."""
    decoder, values, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        values.append(value)
    return values


def runnable(line: str) -> bool:
    """Slim images have no curl; what calls it is left out there."""
    return shutil.which("curl") is not None or not line.startswith(("curl ", "sh "))


class Shell:
    """Runs blocks in a folder; knows the server that was started last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: Server | None = None
        self.output: str | None = None  # of the last bash block, until it has been compared
        self.served = True  # whether the score.py of now has been started

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *error: object) -> None:
        self.end_server()
        workspace = Workspace(str(self.folder / "workspace"))
        for name in service_names(workspace):  # that a failure has left
            Webservice(workspace, name).delete()

    def end_server(self) -> None:
        if self.server is not None:
            self.server.end()
            self.server = None

    def run(self, block: Block) -> None:
        if block.is_script:
            assert self.served, "the score.py before this one was never started"
            (self.folder / "score.py").write_text(block.text)
            self.served = False
        elif block.language == "python":
            self.output = self.execute([sys.executable, "-c", self.addressed(block.text)])
        elif block.language == "bash":
            lines = block.text.replace("\\\n", " ").splitlines()
            self.output = ""
            for line in filter(runnable, lines):
                self.output = "" if self.starts(line) else self.output + self.line(line)
            if not all(map(runnable, lines)):
                self.output = None
        elif block.language != "yaml":
            self.compare(block)

    def compare(self, block: Block) -> None:
        """What is shown after commands is their output; what stands alone is only shown."""
        shown, output = self.addressed(block.text), self.output
        if output is not None and block.language == "json":
            assert documents(output) == documents(shown)
        elif output is not None:
            assert output.strip() == shown.strip()
        self.output = None

    def starts(self, line: str) -> bool:
        """Start the server, if that is what the line does."""
        match = STARTS.match(line)
        if match is None:
            return False
        self.end_server()
        self.folder /= match["folder"] or "."
        environ = dict(assignment.split("=", 1) for assignment in shlex.split(match["environ"]))
        script, *arguments = shlex.split(match["arguments"], comments=True)
        self.server = Server(
            Path(script) if script.startswith("-") else self.folder / script, *arguments, folder=self.folder, **environ
        )
        self.server.wait_ready()
        self.served = self.served or script == "score.py"
        return True

    def line(self, line: str) -> str:
        """The output of one command line."""
        self.served = self.served or line.startswith("scoring deploy score.py")
        for name, command in COMMANDS.items():
            if line.startswith(name):
                return self.execute([*command, *shlex.split(line.removeprefix(name))])
        return self.execute(["sh", "-c", self.addressed(line)])

    def addressed(self, text: str) -> str:
        return text if self.server is None else text.replace(ADDRESS, f"127.0.0.1:{self.server.port}")

    def environ(self) -> dict[str, str]:
        workspace = str(self.folder / "workspace")
        return {**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1", "SCORING_WORKSPACE": workspace}

    def execute(self, command: list[str]) -> str:
        port = "5001" if self.server is None else str(self.server.port)
        if command[-1].startswith("sh "):
            command = [*command[:-1], f"{command[-1]} http://127.0.0.1:{port}"]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout
