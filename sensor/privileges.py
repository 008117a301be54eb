"""What this process may do and what may be done to it: capabilities, user, core dumps."""

import ctypes
import grp
import os
import pwd
import resource
from pathlib import Path

from sensor.exits import ConfigError, PrivilegeError

CAP_NET_RAW = 13  # linux/capability.h
CAP_IPC_LOCK = 14
_PR_SET_DUMPABLE = 4  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38


def has_capability(number: int) -> bool:
    """Is this capability effective? Numbers are those of linux/capability.h."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> number & 1)
    return False


def forbid_core_dumps() -> None:
    """Traffic in memory can hold passwords: no core file, no ptrace by others of this user."""
    _prctl(_PR_SET_DUMPABLE, 0)
    # A system call filter may forbid setting even what is set already.
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check_user(user: str) -> pwd.struct_passwd:
    """Could this process be that user? Raises ConfigError when nobody is, or PrivilegeError."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(f"sensor.user: there is no user {user!r}") from None
    if os.geteuid() not in (0, account.pw_uid):
        raise PrivilegeError(f"sensor.user: only root can become {user!r}")
    return account


def become(user: str) -> None:
    """Give up root for this user, for good. Raises ConfigError or PrivilegeError."""
    account = check_user(user)
    if os.geteuid() == account.pw_uid:
        return
    groups = [group.gr_gid for group in grp.getgrall() if user in group.gr_mem]
    os.setgroups(groups)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)  # the kernel sets it anew when the user changes


def give_directory(path: Path, user: str) -> None:
    """Make the directory where `user` will write, if it is not there. Raises PrivilegeError."""
    if path.exists():
        return
    try:
        path.mkdir(parents=True, mode=0o750)
    except OSError as error:
        raise PrivilegeError(f"{path}: {error.strerror}") from None
    give_file(path, user)


def give_file(path: Path, user: str) -> None:
    """What root made becomes the user's. Raises ConfigError or PrivilegeError."""
    account = check_user(user)
    try:
        if path.stat().st_uid == 0:
            os.chown(path, account.pw_uid, account.pw_gid)
    except OSError as error:
        raise PrivilegeError(f"{path}: {error.strerror}") from None


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise PrivilegeError(f"prctl {option}: {os.strerror(number)}")
