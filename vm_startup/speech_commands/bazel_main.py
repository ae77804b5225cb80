"""What `bazel run` starts: a module of this package, as `python -m` would start it.

The first argument, which BUILD.bazel gives, names the module. Bazel starts programs in a folder of
its own; flags name files relative to the caller's folder, or to $JOB_FOLDER where it is set.
"""

import sys

sys.path.pop(0)  # this folder: its modules would hide others of the same name

import os  # noqa: E402
import runpy  # noqa: E402

if __name__ == "__main__":
    os.chdir(os.environ.get("JOB_FOLDER") or os.environ["BUILD_WORKING_DIRECTORY"])
    runpy.run_module(
        f"vm_startup.speech_commands.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True
    )
