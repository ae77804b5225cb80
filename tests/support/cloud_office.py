"""Schedules whose retrainings rent machines of a fake Compute Engine."""

from dataclasses import dataclass, field

from fake_gce import FOR_EVER, FakeGce
from office import CONFIG, SCHEDULE_RUN, Office

RENTED = CONFIG.replace('"local"', '"gce"')
VERDICTS = ("promoted", "kept", "failed", "skipped", "unchanged")


@dataclass
class Met:
    """What came of many models that were due at one moment."""

    verdicts: dict[str, str] = field(default_factory=dict)
    at_once: int = 0  # machines beside each other at most
    rented: int = 0
    left: int = 0  # machines and disks afterwards


def all_due_at_once(office: Office, gce: FakeGce, models: int, max_parallel: int) -> Met:
    """Let a scheduler retrain so many models that are due at one moment, to the last verdict."""
    met, names = Met(), [f"words-{number}" for number in range(models)]

    def count(_) -> None:
        met.at_once = max(met.at_once, len(gce.instances))

    gce.faults.add("instances.insert", "call_after", times=FOR_EVER, function=count)
    for name in names:
        office.schedule(name, text=RENTED)
    office.let_be_due(*names)
    scheduler = office.start_command(*SCHEDULE_RUN, "--max-parallel", str(max_parallel))
    while len(met.verdicts) < models:
        met.verdicts = office.wait(lambda: _more(office, met.verdicts), "another verdict")
    office.end(scheduler)
    met.rented = len(gce.asked("instances.insert"))
    met.left = len(gce.instances) + len(gce.disks)
    return met


def _more(office: Office, known: dict[str, str]) -> dict[str, str]:
    """Every schedule's verdict so far, {} while there are no more than were known."""
    lines = [line for verdict in VERDICTS for line in office.told(verdict)]
    found = {line["schedule"]: line["event"] for line in lines}
    return found if len(found) > len(known) else {}
