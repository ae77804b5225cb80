"""Whether the commands that a hint names are commands that work."""

import itertools
import re
import shlex

import click

from launcher.cli import cli

# gcloud's commands, by its reference: how many words follow, and the options of those that we use.
GCLOUD = {
    "auth application-default login": (0, ()),
    "billing accounts list": (0, ("filter", "format", "limit")),
    "billing projects describe": (1, ()),
    "billing projects link": (1, ("billing-account",)),
    "compute disk-types list": (0, ("zones",)),
    "compute firewall-rules create": (
        1,
        ("network", "allow", "source-ranges", "priority", "project"),
    ),
    "compute firewall-rules describe": (1, ("project",)),
    "compute firewall-rules list": (0, ("project",)),
    "compute images list": (0, ("project", "no-standard-images")),
    "compute instances delete": (1, ("zone", "project")),
    "compute instances describe": (1, ("zone", "project")),
    "compute machine-types list": (0, ("zones", "filter", "project")),
    "compute networks create": (1, ("subnet-mode", "project")),
    "compute networks get-effective-firewalls": (1, ("project",)),
    "compute networks list": (0, ("project",)),
    "compute networks subnets create": (1, ("network", "region", "range", "project")),
    "compute networks subnets list": (0, ("regions", "project")),
    "compute routers list": (0, ("project",)),
    "compute start-iap-tunnel": (2, ("listen-on-stdin", "project", "zone")),
    "compute zones list": (0, ("format",)),
    "config get-value": (1, ()),
    "iam service-accounts add-iam-policy-binding": (1, ("member", "role")),
    "iam service-accounts get-iam-policy": (1, ()),
    "projects add-iam-policy-binding": (1, ("member", "role")),
    "projects get-iam-policy": (1, ()),
    "projects list": (0, ()),
    "resource-manager org-policies describe": (1, ("effective", "project")),
    "resource-manager org-policies list": (0, ("project",)),
    "services enable": (1, ("project",)),
}
FILLED = re.compile(r"\$\((.*?)\)(?=[,;\s]|$)")  # the output of another command
PLACEHOLDER = re.compile(r"[<>{}]|\b(?!TCP\b|IAP\b|UEFI\b|CPUS?\b)[A-Z]{3,}\b(?!_)")


def commands(hint: str) -> list[list[str]]:
    """The words from each `gcloud` or `launcher` on, to the next mark of punctuation."""
    texts = [FILLED.sub("FILLED", hint), *FILLED.findall(hint)]
    pieces = [piece for text in texts for piece in re.split(r"[,;:]\s|[,;:]$", text)]
    found = [
        piece[match.start() :]
        for piece in pieces
        for match in re.finditer(r"(?<![\w.'-])(?:gcloud|launcher) (?=[a-z])", piece)
    ]
    return [re.findall(r"(?:[^\s']|'[^']*')+", text) for text in found]


def check_hint(hint: str) -> None:
    """Fail where a command of the hint does not exist, or a word of it is not filled in."""
    assert not PLACEHOLDER.search(FILLED.sub("", hint)), hint
    for program, *words in commands(hint):
        (_check_gcloud if program == "gcloud" else _check_launcher)(words)


def _check_gcloud(words: list[str]) -> None:
    name = max((name for name in GCLOUD if _starts(words, name)), key=len, default="")
    assert name, f"gcloud {shlex.join(words)}: not in the table"
    count, options = GCLOUD[name]
    rest = words[len(name.split()) :]
    following = [word for word in rest if not word.startswith("--")]
    assert len(following) >= count, f"gcloud {name}: too few words in {rest}"
    given = {word[2:].partition("=")[0] for word in rest if word.startswith("--")}
    assert given <= set(options), f"gcloud {name}: {given - set(options)}"


def _check_launcher(words: list[str]) -> None:
    """Parse it by the real command line, with as many words as the command needs."""
    command = cli.commands.get(words[0])
    assert command, f"launcher {words[0]}: no such command"
    needed = sum(1 for p in command.params if isinstance(p, click.Argument) and p.required)
    following = list(itertools.takewhile(lambda word: not word.startswith("-"), words[1:]))
    options = [word for word in words[1:] if word.startswith("-")]
    command.make_context(words[0], following[:needed] + options)


def _starts(words: list[str], name: str) -> bool:
    return words[: len(name.split())] == name.split()
