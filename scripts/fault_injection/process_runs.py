"""Run the workload as three processes, one after the other: one is killed, one repairs, one continues.

    python -m scripts.fault_injection.process_runs STATE MARKS [PLANT]

Imports nothing of the store, so that each process loads its own modules.
"""

import os
import sys

RUNS = ("killed", "repaired", "continued")


def main() -> int:
    """Run them; exit status 1 if one failed."""
    state_dir, marks, *plant = sys.argv[1:]
    for name in RUNS:
        words = [sys.executable, "-m", "scripts.fault_injection.workload", state_dir, marks, name, *plant]
        # Not subprocess: strace would see its pipe beside the descriptors of the run.
        _, status = os.waitpid(os.posix_spawn(sys.executable, words, os.environ), 0)
        if status:
            print(f"workload: the run {name!r} ended with status {status}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
