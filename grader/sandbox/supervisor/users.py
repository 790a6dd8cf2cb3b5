"""Processes of one user or of one sandbox, ended all at once."""

from __future__ import annotations

import os
import signal


def kill_all_of(user_id: int) -> None:
    """Send SIGKILL to every process of a user, atomically: none can fork away from it.

    It is sent by a child whose effective user is that one, which is what decides whom it may
    reach. Its real and saved user is the next, which must be free as well: so those it ends cannot
    end it first (kill(2) compares with the real and the saved user of the receiver).

    Args:
        user_id: a user that no process has but those to be ended; nor may one have the next.
    """
    killer = os.fork()
    if killer == 0:
        try:
            os.setgroups([])
            os.setresgid(user_id, user_id, user_id)
            os.setresuid(user_id + 1, user_id, user_id + 1)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(killer, 0)


def kill_all_in_scope() -> None:
    """Send SIGKILL to every process that this one may reach, atomically, but not to itself.

    Only where Landlock confines the signals of this process to its descendants: elsewhere it would
    end everything that the user runs.
    """
    os.kill(-1, signal.SIGKILL)


def reap_ended_children() -> tuple[set[int], bool]:
    """Take notice of every child that has ended, adopted ones included.

    Returns:
        Which have ended, and whether any is left.
    """
    ended: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended.add(pid)
