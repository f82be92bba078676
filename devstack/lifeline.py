"""Run a command that ends when the process that started it ends, however that happened.

`lifeline.py PARENT SIGNAL USER COMMAND …`: SIGNAL is the number of the one that ends the command, USER is `-` or the
user to become (only root may). A parent killed with -9 cannot end its children, so on Linux the kernel is asked to.
Run as a file, with `-I -S`: it must start fast, and it needs nothing but the standard library.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command, tied to the life of the parent."""
    parent, ending, user, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if sys.platform == "linux":  # after the change of user, which resets it
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, ending)
        if os.getppid() != parent:  # it died before the kernel was asked
            sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
