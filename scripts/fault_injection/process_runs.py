"""The workload's lives, one process after the other: one that is killed, one that mends, one more.

    python -m scripts.fault_injection.process_runs STATE MARKS [PLANT]

Imports nothing of the store: what it would load is loaded in each life.
"""

import os
import sys

LIVES = ("killed", "mended", "again")


def main() -> int:
    """Live them; 1 if one failed."""
    state_dir, marks, *plant = sys.argv[1:]
    for name in LIVES:
        words = [sys.executable, "-m", "scripts.fault_injection.workload", state_dir, marks, name, *plant]
        # Not subprocess: strace would see its pipe beside the descriptors of the life.
        _, status = os.waitpid(os.posix_spawn(sys.executable, words, os.environ), 0)
        if status:
            print(f"workload: the life {name!r} ended with {status}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
