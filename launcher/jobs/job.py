"""What a job's ledger says: a fold over its records. Pure."""

from dataclasses import dataclass, field, replace

from launcher.machines import cost

OPEN = ("rented", "renting", "returning")


@dataclass(frozen=True)
class Job:
    """The state of one job. `phase` is what it does; `rental` is what is still paid for."""

    name: str = ""
    plan: dict = field(default_factory=dict)
    uid: str = ""  # random; tells two jobs of one name apart
    phase: str = "created"
    done: frozenset[str] = frozenset()
    outcome: str = "unfinished"  # unfinished, detached, done, failed, interrupted, cancelled
    error: str = ""
    rental: str = "none"  # none, renting, rented, returning, returned
    machine: str = ""
    place: str = ""  # the zone it was ordered in
    request_id: str = ""  # of that order
    order_seconds: float = 0.0  # after which it ends by itself
    machines: int = 0  # how many were ordered so far
    proof: str = ""
    attempt: int = 0  # how often the job's script was started, on whichever machine
    script: str = ""  # the script on the present machine: "", started, lost
    log_base: int = 0  # bytes of training.log that earlier attempts wrote
    pid: int = 0  # of the launcher that last worked on it
    rented_seconds: float = 0.0
    rented_at: float = 0.0
    created: float = 0.0
    updated: float = 0.0
    phase_seconds: dict = field(default_factory=dict)
    phase_began: float = 0.0

    @property
    def owes(self) -> bool:
        """Whether a machine may still exist for this job."""
        return self.rental in OPEN

    @property
    def ends(self) -> float:
        """When the present machine ends by itself, seconds since the epoch."""
        return self.rented_at + self.order_seconds

    def seconds_rented(self, now: float) -> float:
        """Seconds of machine time used so far, over all its machines. A machine that is looked
        for days after it ended by itself was not paid for since."""
        running = min(now, self.ends) - self.rented_at if self.owes and self.rented_at else 0.0
        return self.rented_seconds + running


def fold(records: list[dict]) -> Job:
    """The job that `records` tell of."""
    job = Job()
    for record in records:
        change = _CHANGES.get(record["event"], lambda *_: {})(job, record)
        job = replace(job, updated=record["time"], **change)
    return job


def _created(_: Job, r: dict) -> dict:
    return {
        "name": r["plan"]["job"],
        "plan": r["plan"],
        "uid": r["uid"],
        "created": r["time"],
        "pid": r["pid"],
    }


def _attached(job: Job, r: dict) -> dict:
    seconds = job.plan["max_run_seconds"] + r["added_seconds"]
    cap = cost.usd(job.plan["usd_per_hour"], seconds)
    plan = {**job.plan, "max_run_seconds": seconds, "cap_usd": cap}
    return {"pid": r["pid"], "outcome": "unfinished", "error": "", "plan": plan}


def _phase(job: Job, r: dict) -> dict:
    return {"phase": r["phase"], "phase_began": r["time"], "phase_seconds": _timed(job, r["time"])}


def _phase_done(job: Job, r: dict) -> dict:
    return {
        "done": job.done | {r["phase"]},
        "phase_began": 0.0,
        "phase_seconds": _timed(job, r["time"]),
    }


def _timed(job: Job, now: float) -> dict:
    if not job.phase_began:
        return job.phase_seconds
    spent = job.phase_seconds.get(job.phase, 0.0) + now - job.phase_began
    return {**job.phase_seconds, job.phase: spent}


def _renting(job: Job, r: dict) -> dict:
    return {
        "rental": "renting",
        "machine": r["machine"],
        "place": r["place"],
        "request_id": r["request_id"],
        "order_seconds": r["seconds"],
        "machines": job.machines + 1,
        "rented_at": r["time"],
        "proof": "",
        "script": "",
    }


def _returned(job: Job, r: dict) -> dict:
    return {
        "rental": "returned",
        "proof": r["proof"],
        "rented_seconds": job.seconds_rented(r["time"]),
        "rented_at": 0.0,
    }


def _started(_: Job, r: dict) -> dict:
    return {"attempt": r["attempt"], "log_base": r["log_base"], "script": "started"}


def _ended(job: Job, r: dict) -> dict:
    # A firmware that failed its proof is built anew by whoever resumes the job.
    proved = r["outcome"] == "done" or job.phase != "emulate"
    done = job.done if proved else job.done - {"firmware"}
    return {
        "outcome": r["outcome"],
        "error": r.get("error", ""),
        "phase_began": 0.0,
        "done": done,
    }


_CHANGES = {
    "created": _created,
    "attached": _attached,
    "phase": _phase,
    "phase done": _phase_done,
    "renting": _renting,
    "rented": lambda *_: {"rental": "rented"},
    "returning": lambda *_: {"rental": "returning"},
    "returned": _returned,
    "started": _started,
    "lost": lambda *_: {"script": "lost"},
    # Whoever dies right after it needs the machine no more, which `reap` may have taken meanwhile.
    "pulled": lambda job, _: {"done": job.done | {"pull"}},
    "ended": _ended,
}
