"""Schedules whose retrainings create machines in a fake Compute Engine."""

from dataclasses import dataclass, field

from fake_gce import FOR_EVER, FakeGce
from schedule_workspace import CONFIG, SCHEDULE_RUN, ScheduleWorkspace

GCE_CONFIG = CONFIG.replace('"local"', '"gce"')
VERDICTS = ("promoted", "kept", "failed", "skipped", "unchanged")


@dataclass
class CloudResult:
    """What happened to models that were due at one moment."""

    verdicts: dict[str, str] = field(default_factory=dict)
    at_once: int = 0  # the most machines at the same time
    created: int = 0  # machines
    left: int = 0  # machines and disks afterwards


def retrain_all_at_once(
    workspace: ScheduleWorkspace, gce: FakeGce, models: int, max_parallel: int
) -> CloudResult:
    """Let a scheduler retrain models that are due at one moment, until each has its verdict."""
    result, names = CloudResult(), [f"words-{number}" for number in range(models)]

    def count(_: object) -> None:
        result.at_once = max(result.at_once, len(gce.instances))

    gce.faults.add("instances.insert", "call_after", times=FOR_EVER, function=count)
    for name in names:
        workspace.add_schedule(name, text=GCE_CONFIG)
    workspace.make_due(*names)
    scheduler = workspace.start_command(*SCHEDULE_RUN, "--max-parallel", str(max_parallel))
    while len(result.verdicts) < models:
        result.verdicts = workspace.wait(
            lambda: _verdicts(workspace, len(result.verdicts)), "another verdict"
        )
    workspace.stop(scheduler)
    result.created = len(gce.asked("instances.insert"))
    result.left = len(gce.instances) + len(gce.disks)
    return result


def _verdicts(workspace: ScheduleWorkspace, known: int) -> dict[str, str]:
    """Every schedule's verdict so far; {} if there are no more than `known`."""
    lines = [line for verdict in VERDICTS for line in workspace.events(verdict)]
    found = {line["schedule"]: line["event"] for line in lines}
    return found if len(found) > known else {}
