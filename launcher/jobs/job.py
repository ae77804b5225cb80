"""The state of a job: a fold over its ledger's events. Pure."""

from dataclasses import dataclass, field, replace
from typing import Any

from launcher.errors import UsageError
from launcher.jobs import events
from launcher.jobs.events import CODEC, FORMAT, Event
from launcher.jobs.plan import Plan
from launcher.jobs.records import Record
from launcher.jobs.states import LeaseState, Outcome, Phase, ScriptState
from launcher.machines import cost


@dataclass(frozen=True)
class Job:
    """One job. `phase` is what it does; `lease` is what it may still have to pay for."""

    name: str = ""
    plan: Plan = field(default_factory=Plan)
    uid: str = ""  # random; differs between jobs of one name
    phase: Phase = Phase.CREATED
    done: frozenset[Phase] = frozenset()
    outcome: Outcome = Outcome.UNFINISHED
    error: str = ""
    lease: LeaseState = LeaseState.NONE
    machine: str = ""
    zone: str = ""
    request_id: str = ""
    answered: bool = True  # whether the request for the machine has an answer
    machine_bound: float = 0.0  # seconds after its request when the machine deletes itself
    machines: int = 0  # how many were requested so far
    proof: str = ""  # that the last one is gone
    attempt: int = 0  # how often the script was started, over all machines
    script: ScriptState = ScriptState.NONE
    log_base: int = 0  # bytes of the log that earlier attempts wrote
    pid: int = 0  # of the launcher that last worked on it
    machine_seconds: float = 0.0  # of the machines that are gone
    requested_at: float = 0.0
    created: float = 0.0
    updated: float = 0.0
    phase_seconds: dict[Phase, float] = field(default_factory=dict)
    phase_began: float = 0.0

    @property
    def lease_open(self) -> bool:
        """Whether a machine may still exist for this job."""
        return self.lease not in (LeaseState.NONE, LeaseState.CLOSED)

    @property
    def ends(self) -> float:
        """When the present machine deletes itself, seconds since the epoch."""
        return self.requested_at + self.machine_bound

    @property
    def unanswered_since(self) -> float:
        """When the request that may still be on its way was sent; 0 where there is none."""
        return 0.0 if self.answered or not self.lease_open else self.requested_at

    def machine_seconds_used(self, now: float) -> float:
        """Seconds of machine time so far, over all machines, each until it deleted itself."""
        open_since = self.requested_at if self.lease_open else 0.0
        running = min(now, self.ends) - open_since if open_since else 0.0
        return self.machine_seconds + max(0.0, running)

    def cost_usd(self, now: float) -> float:
        """US dollars for the machine time so far, unrounded."""
        return cost.usd(self.plan.machine.usd_per_hour, self.machine_seconds_used(now))


def fold(records: list[Record], where: str = "the ledger") -> Job:
    """The job of these records. Raises UsageError, which names the file `where`, for those of
    another version, and for damaged ones."""
    job = Job()
    for number, record in enumerate(records, 1):
        if record["event"] == "created" and record.get("format") != FORMAT:
            raise UsageError(
                f"{where}: format {record.get('format', 1)} is not supported; this launcher reads "
                f"format {FORMAT}",
                "use the version of the launcher that began the job, or remove the job's folder",
            )
        try:
            event = CODEC.event(record)
            change = _change(job, event, record["time"]) if event else {}
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{where}, line {number}: damaged, {record['event']!r} has no usable {error}"
            ) from error
        job = replace(job, updated=record["time"], **change)
    return job


def _change(job: Job, event: Event, now: float) -> dict[str, Any]:  # noqa: C901  a case an event
    """The fields of the job that an event changes."""
    match event:
        case events.Created(plan, uid, pid):
            return {"name": plan.job, "plan": plan, "uid": uid, "created": now, "pid": pid}
        case events.Resumed(pid, added):
            plan = job.plan.with_more_time(added)
            return {"pid": pid, "outcome": Outcome.UNFINISHED, "error": "", "plan": plan}
        case events.PhaseBegun(phase):
            return {"phase": phase, "phase_began": now, "phase_seconds": _timed(job, now)}
        case events.PhaseDone(phase):
            timed = _timed(job, now)
            return {"done": job.done | {phase}, "phase_began": 0.0, "phase_seconds": timed}
        case events.MachineRequested(machine, zone, request_id, seconds):
            named = {"machine": machine, "zone": zone, "request_id": request_id, "proof": ""}
            times = {"machine_bound": seconds, "requested_at": now, "machines": job.machines + 1}
            states = {"lease": LeaseState.REQUESTED, "script": ScriptState.NONE}
            return {**named, **times, **states, "answered": False}
        case events.MachineReady(ran, left):
            ready = {"lease": LeaseState.ACTIVE, "answered": True}
            times = {"requested_at": now - ran, "machine_bound": ran + left}
            return ready | (times if left else {})
        case events.MachineRefused():
            return {"answered": True}
        case events.MachineDeleting():
            return {"lease": LeaseState.DELETING}
        case events.MachineDeleted(proof):
            used = {"machine_seconds": job.machine_seconds_used(now), "requested_at": 0.0}
            return {"lease": LeaseState.CLOSED, "proof": proof, **used}
        case events.ScriptStarted(attempt, log_base):
            return {"attempt": attempt, "log_base": log_base, "script": ScriptState.STARTED}
        case events.ScriptLost():
            return {"script": ScriptState.LOST}
        case events.ResultsPulled():  # a launcher killed after this needs no machine any more
            return {"done": job.done | {Phase.PULL}}
        case events.Ended(outcome, error):
            # A firmware that failed its proof is built again when the job is resumed.
            proved = outcome == Outcome.DONE or job.phase != Phase.PROVE
            done = job.done if proved else job.done - {Phase.BUILD}
            return {"outcome": outcome, "error": error, "phase_began": 0.0, "done": done}


def _timed(job: Job, now: float) -> dict[Phase, float]:
    if not job.phase_began:
        return job.phase_seconds
    spent = job.phase_seconds.get(job.phase, 0.0) + now - job.phase_began
    return {**job.phase_seconds, job.phase: spent}
