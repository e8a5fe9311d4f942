"""No core dumps: the memory of our processes holds pictures, passwords and keys.

The units set LimitCORE=0; this is for a process that was started without systemd, and for its children.
"""

import resource


def forbid_core_dumps() -> None:
    """Set the limit of a core dump to 0 bytes for this process and its children; nobody can raise it again.

    A kernel that pipes core dumps to a program (core_pattern(5)) does not look at the limit. systemd-coredump and
    apport do.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
