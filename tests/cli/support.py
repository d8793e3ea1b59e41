"""Running the command line in tests: in this process, in a child, and with a server that plays the four agents."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from click.testing import CliRunner, Result

from memquartet.cli.main import cli
from memquartet.testing.server import FakeServer, Received, Served

# What a scripted extractor must not remember as important.
SMALL_TALK = "weather"
ANSWER = "in Bristol"


def run(*args: str | Path, stdin: str | None = None) -> Result:
    """Call the command line in this process."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin)


def start(
    *args: str | Path, cwd: Path, stdin: int | BinaryIO = subprocess.DEVNULL, **env: str
) -> subprocess.Popen[bytes]:
    """Call the command line in a child process."""
    return subprocess.Popen(
        [sys.executable, "-m", "memquartet", *map(str, args)],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


# Any: parsed JSON, looked into by the tests.
def read_json(result: Result) -> Any:
    """The whole of stdout as JSON; the command must have succeeded."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def play_team(received: Received) -> str:
    """What a team without faults says: each line of a text is a fact, each important one is added."""
    messages = received.body["messages"]
    assert isinstance(messages, list)
    system, last = messages[0]["content"], messages[-1]["content"]
    if "You extract facts" in system:
        lines = [line for line in last.split("Text:\n")[-1].splitlines() if line.strip() and line[0] != "["]
        important = [line for line in lines if SMALL_TALK not in line]
        rest = [line for line in lines if SMALL_TALK in line]
        return json.dumps({"semantic": important, "episodic": [], "unimportant": rest})
    if "You keep a long-term memory" in system:
        facts = re.findall(r"^Fact (\d+):", last, flags=re.MULTILINE)
        return json.dumps({"decisions": [{"fact": int(fact), "op": "ADD"} for fact in facts]})
    if "You keep a short summary" in system:
        return "They talk about the weather."
    if "You tidy" in system:
        return json.dumps({"decisions": [{"op": "DELETE", "id": "1"}]})
    return ANSWER


class Gate:
    """Plays the team until a text comes by; holds that request until the test has seen it."""

    def __init__(self, agent: str, text: str) -> None:
        self.reached = threading.Event()
        self.open = False
        self._agent = agent
        self._text = text

    def __call__(self, received: Received) -> Served | str:
        """The reply to one request."""
        messages = received.body["messages"]
        assert isinstance(messages, list)
        here = self._agent in messages[0]["content"] and self._text in messages[-1]["content"]
        if here and not self.open:
            self.reached.set()
            return Served(delay=60.0)
        return play_team(received)


def model_of(server: FakeServer) -> str:
    """The server as a --model."""
    return f"openai:fake@{server.base_url}"


def kill(child: subprocess.Popen[bytes], how: signal.Signals) -> tuple[int, str, str]:
    """End a child by a signal: its exit code, stdout and stderr."""
    child.send_signal(how)
    out, err = child.communicate(timeout=60)
    return child.returncode, out.decode(), err.decode()


def facts(count: int) -> Iterator[str]:
    """Lines that are one chunk each at 24 tokens a chunk."""
    return (f"Drawer number {number} holds the {number}th red key of the house." for number in range(count))
