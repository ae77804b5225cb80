"""Jobs to which something else happens than a fault at one step, act by act. Data only.

An act is the name of a method of StoryRun, and its arguments. After the last act, the job is
resumed until it is done, and `launcher reap` must find nothing.
"""

from dataclasses import dataclass

Act = tuple  # of a name, and arguments

NOT_NOW = (1, 3)  # exit codes of a command that could not do or see everything
LATE = 1.0  # seconds after which something that is held takes effect
TRAINING, PULLED = "phase begun train", "results pulled"
READY, DELETING = "machine ready", "machine deleting"
INSERT, DELETE, START = "instances.insert", "instances.delete", "instances.start"
GOOGLE, SSH = "google.cloud.compute_v1.types.compute", "fabric.connection"
CONTROL = "launcher.jobs.control"


@dataclass(frozen=True)
class Story:
    """`kind`: what happens; `title`: when, and which command comes next."""

    kind: str
    title: str
    acts: tuple[Act, ...]

    @property
    def name(self) -> str:
        """One line, for people and patterns."""
        return f"{self.kind}: {self.title}"


def _held() -> list[Story]:
    """Compute Engine holds a request, its launcher is killed, and then it takes effect."""
    ways = {"hold": "before it is seen", "pending_operation": "pending", "hold_reply": "answered"}
    found = [
        Story(
            "request held",
            f"{method} {where}, {command}",
            (("held", method, how), ("release_after", LATE), ("then", command)),
        )
        for method in (INSERT, DELETE)
        for how, where in (ways | {"hold_operation": "executed"}).items()
        if (method, how) != (DELETE, "hold_operation")  # see _deletions
        for command in ("reap", "resume", "cancel")
    ]
    return found + [
        Story(
            "request held",
            f"{INSERT} pending for longer than {command} waits",
            (
                ("held", INSERT, "pending_operation"),
                ("then", command, NOT_NOW),
                ("release",),
                ("then", "status", (0, 3)),
            ),
        )
        for command in ("reap", "cancel")
    ]


def _silence() -> list[Story]:
    """A zone does not answer the next command."""
    found = [
        Story(
            "silent zone",
            f"killed after {step}, {command}",
            (("killed", step), ("silence",), ("then", command, NOT_NOW), ("answer",)),
        )
        for step in (READY, TRAINING, PULLED, DELETING)
        for command in ("status", "reap", "resume", "cancel")
    ]
    return found + [
        Story(
            "silent zone",
            f"lists fail as a whole, {command}",
            (("killed", TRAINING), ("silence", False), ("then", command, NOT_NOW), ("answer",)),
        )
        for command in ("status", "reap")
    ]


# The command, the module that it begins to import, the step at which its job was killed ("": there
# is no job yet), and the signals.
BOTH = ("SIGINT", "SIGTERM")
LOADING = [
    ("train", CONTROL, "", BOTH),
    ("train", GOOGLE, "", BOTH),
    ("resume", CONTROL, TRAINING, ("SIGTERM",)),
    ("resume", GOOGLE, TRAINING, BOTH),
    ("resume", SSH, TRAINING, BOTH),
    ("resume", "tensorflow", PULLED, BOTH),
    ("reap", "launcher.jobs.reap", TRAINING, ("SIGINT",)),
    ("reap", GOOGLE, TRAINING, BOTH),
    ("status", "launcher.status", TRAINING, ("SIGTERM",)),
    ("status", GOOGLE, TRAINING, BOTH),
    ("cancel", CONTROL, TRAINING, ("SIGINT",)),
    ("cancel", GOOGLE, TRAINING, BOTH),
]


def _loading() -> list[Story]:
    """A launcher that is not forked is interrupted while it loads its libraries."""
    return [
        Story(
            "libraries load",
            f"{command}, {module.rpartition('.')[2]}, {signal}",
            ((("killed", step),) if step else ()) + (("interrupted", command, module, signal),),
        )
        for command, module, step, signals in LOADING
        for signal in signals
    ]


def _new_computer() -> list[Story]:
    """Another computer has the same credentials and nothing else: `status` prints the command that
    deletes the machine, and it works."""
    forget, obey = ("forget", "runs", "state"), (("then", "status"), ("obey",), ("empty",))
    late = (forget, ("then", "status", (3,)), ("release",))
    found = [
        Story("new computer", f"killed after {step}", (("killed", step), forget, *obey))
        for step in (READY, TRAINING, PULLED)
    ]
    found += [
        Story(
            "new computer",
            f"{INSERT} pending",
            (("held", INSERT, "pending_operation"), *late, *obey),
        ),
        Story(
            "new computer",
            f"{INSERT} executed",
            (("held", INSERT, "hold_operation"), forget, ("release",), *obey),
        ),
        Story("new computer", "powered off", (("detached",), ("power_off",), forget, *obey)),
    ]
    return found + [
        Story(
            "new computer",
            f"jobs are here, {command}",
            (("killed", TRAINING), ("forget", "state"), ("then", command)),
        )
        for command in ("status", "reap", "resume")
    ]


def _same_name() -> list[Story]:
    """runs/ is deleted, and the same name is trained again, here by `resume` without a job."""
    forget, reap = ("forget", "runs"), (("then", "status"), ("then", "reap"), ("empty",))
    found = [
        Story(
            "same name again",
            f"killed after {step}",
            (("killed", step), forget, ("then", "resume"), *reap),
        )
        for step in (READY, TRAINING, PULLED)
    ]
    return found + [
        Story("same name again", "reap before", (("killed", TRAINING), forget, *reap)),
        Story(
            "same name again",
            "both killed",
            (("killed", TRAINING), forget, ("killed", TRAINING), *reap),
        ),
        Story(
            "same name again",
            "the first one works detached",
            (("detached",), forget, ("then", "resume"), *reap),
        ),
        Story(
            "same name again",
            "both work detached",
            (("detached",), forget, ("detached",), ("then", "reap"), ("spared",)),
        ),
    ]


def _powered_off() -> list[Story]:
    """A detached machine finished and powered itself off; it cannot start at the first try."""
    refusals = {
        "stockout": (START, "stockout"),
        "quota": (START, "quota_exceeded"),
        "internal error": (START, "operation_error"),
        "no answer": (START, "unavailable"),
    }
    return [
        Story(
            "powered off",
            f"{title}{', reap' * reaps}",
            (
                *(("detached",), ("power_off",), ("fault", *refusal)),
                ("then", "resume", (0,) if title == "no answer" else NOT_NOW),
                *((("then", "reap"), ("spared",)) if reaps else ()),
            ),
        )
        for title, refusal in refusals.items()
        for reaps in ((False,) if title == "no answer" else (False, True))
    ]


def _clocks() -> list[Story]:
    """This computer's clock is wrong, from the beginning or from the next command on."""
    begins = {
        "killed": (("killed", TRAINING),),
        "request held": (("held", INSERT, "hold"), ("release_after", LATE)),
        "detached": (("detached",),),
    }
    return [
        Story(
            "wrong clock",
            f"{hours:+d} h{' later' * later}, {title}, reap",
            (
                *(() if later else (("clock", hours),)),
                *begin,
                *((("clock", hours),) if later else ()),
                ("then", "reap"),
                *((("spared",),) if title == "detached" else ()),
            ),
        )
        for hours in (2, -2)
        for later in (False, True)
        for title, begin in begins.items()
    ]


def _deletions() -> list[Story]:
    """A deletion is under way: another one is refused with 400 resourceNotReady."""
    commands = ("reap", "cancel", "resume")
    held = ("held", DELETE, "hold_operation")
    found = [
        Story("deletion under way", command, (held, ("release_after", LATE), ("then", command)))
        for command in commands
    ]
    found += [
        Story(
            "deletion under way",
            f"for longer than {command} waits",
            (held, ("then", command, NOT_NOW), ("release",), ("then", "status", (0, 3))),
        )
        for command in commands
    ]
    return found + [
        Story(
            "deletion under way",
            f"of a detached machine by cancel, {command}",
            (("detached",), (*held, "cancel"), ("release_after", LATE), ("then", command)),
        )
        for command in commands
    ]


STORIES = [
    story
    for kind in (
        *(_held, _silence, _loading, _new_computer),
        *(_same_name, _powered_off, _clocks, _deletions),
    )
    for story in kind()
]
