"""What a command said about money, compared with what the fake knows."""

import re

from fake_gce import FakeGce

# Every form in which the launcher says what is still being paid for.
VERDICT = re.compile(
    r"(Nothing is still being paid for|Still being paid for: |Whether anything is still|"
    r"Machine \S+ (?:is at work|works|may still exist)|no job in runs/ has a machine).*"
)
NOTHING = ("Nothing", "no job")
UNSEEN = "could not be seen"
OF_THIS_JOB = ("by this job", "no job")
NAMED = re.compile(r"(\S+) in [a-z]+-[a-z0-9]+-[a-z]\b|Machine (\S+) (?:is at work|works)")


def last_line(text: str) -> str:
    """The last thing that a command said about money; "" where it said nothing."""
    return ([match[0] for match in VERDICT.finditer(text)] or [""])[-1]


def known(gce: FakeGce) -> set[str]:
    """Every machine and disk that exists, and those whose request has arrived."""
    inserts = gce.asked("instances.insert")
    answered = {request.query.get("requestId") for request in inserts if request.code}
    waiting = [r for r in inserts if not r.code and r.query.get("requestId") not in answered]
    arrived = {str(request.body.get("name")) for request in waiting}
    return arrived | set(gce.instances) | set(gce.disks)


def untrue(said: str, known: set[str], job: str = "") -> str:
    """What is wrong with a last line, given the machines that are known; "" = it is true. What it
    says of one job alone is compared with the machines whose names begin with `job`."""
    if any(words in said for words in OF_THIS_JOB):
        known = {name for name in known if name == job or name.startswith(f"{job}-") or not job}
    named = {next(filter(None, found)) for found in NAMED.findall(said)}
    if said.startswith(NOTHING) and known:
        return f"{said!r}, but there is {', '.join(sorted(known))}"
    if not said.startswith(NOTHING) and named - known:
        return f"{said!r}, but there is no {', '.join(sorted(named - known))}"
    if said.startswith("Still") and UNSEEN not in said and known - named:
        return f"{said!r}, but there is {', '.join(sorted(known - named))}, too"
    return ""
