"""The operating system account that the embedded server runs as.

PostgreSQL refuses to run as root. For a normal user it is that user; for root it is the owner of the data when
it has one, otherwise a system account of our own. Folders above the data and above the programs that this
account could not pass get an access control entry for it alone: search only, and nothing for anybody else.
"""

import os
import pwd
import stat
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT_NAME = "dealtrace-pg"

# The layout of the attribute: linux/posix_acl_xattr.h.
_ACL = "system.posix_acl_access"
_ACL_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY_IN_PARTICULAR = 0xFFFFFFFF
_SEARCH = 0o1


@dataclass(frozen=True)
class Account:
    """Who the server runs as."""

    uid: int
    gid: int
    switches: bool  # False when we are this account already

    def subprocess_options(self) -> dict[str, Any]:
        """Arguments for `subprocess.run` that make the child run as this account."""
        if not self.switches:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make this account the owner of a file or folder."""
        if self.switches:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def let_through(self, path: Path) -> None:
        """See to it that the account can pass every folder above `path`."""
        if self.switches:
            for folder in path.resolve().parents:
                _let_search(self.uid, folder)


def server_account(cluster: Path, home: Path) -> Account:
    """The account for the server whose data lies, or will lie, in the folder `cluster` of a data folder.

    Raises PermissionError when root can not make the account it needs.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switches=False)
    for folder in (cluster, home):
        if folder.exists() and folder.stat().st_uid != 0:
            owner = folder.stat()
            return Account(owner.st_uid, owner.st_gid, switches=True)
    entry = _own_account()
    return Account(entry.pw_uid, entry.pw_gid, switches=True)


def _own_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        pass
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--shell",
        "/usr/sbin/nologin",
        ACCOUNT_NAME,
    ]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- fixed arguments
        reason = made.stderr.strip()
    except FileNotFoundError:
        reason = "the program useradd is missing"
    try:
        return pwd.getpwnam(ACCOUNT_NAME)  # also when another process made it at the same moment
    except KeyError:
        raise PermissionError(
            f"PostgreSQL refuses to run as root, and the account {ACCOUNT_NAME} could not be made ({reason}): "
            "start as a normal user, or make that account."
        ) from None


def _let_search(uid: int, folder: Path) -> None:
    mode = folder.stat().st_mode
    if mode & stat.S_IXOTH or folder.stat().st_uid == uid:
        return
    entries = _access_list(folder, mode)
    # A chmod since may have closed the mask over an entry that is still there.
    if (_USER, _SEARCH, uid) in entries and _mask(entries) & _SEARCH:
        return
    try:
        os.setxattr(folder, _ACL, _with_search(entries, uid))
    except OSError as error:
        raise PermissionError(
            f"The server's account can not pass the folder {folder} ({error.strerror}): "
            f"run `chmod o+x {folder}`, or choose another DEALTRACE_HOME."
        ) from error


def _access_list(folder: Path, mode: int) -> list[tuple[int, int, int]]:
    """The folder's access control list as (tag, permissions, id); that of its mode when it has no list."""
    if _ACL in os.listxattr(folder):
        return list(_ENTRY.iter_unpack(os.getxattr(folder, _ACL)[len(_ACL_VERSION) :]))
    return [
        (_USER_OBJ, mode >> 6 & 0o7, _NOBODY_IN_PARTICULAR),
        (_GROUP_OBJ, mode >> 3 & 0o7, _NOBODY_IN_PARTICULAR),
        (_MASK, mode >> 3 & 0o7, _NOBODY_IN_PARTICULAR),
        (_OTHER, mode & 0o7, _NOBODY_IN_PARTICULAR),
    ]


def _with_search(entries: list[tuple[int, int, int]], uid: int) -> bytes:
    mask = _mask(entries)
    # The mask grows by search; what it held back from the others is taken from their entries instead.
    others = [
        (tag, permissions & mask if tag in (_USER, _GROUP_OBJ, _GROUP) else permissions, who)
        for tag, permissions, who in entries
        if tag != _MASK and (tag, who) != (_USER, uid)
    ]
    granted = [(_USER, _SEARCH, uid), (_MASK, mask | _SEARCH, _NOBODY_IN_PARTICULAR)]
    in_order = sorted(others + granted, key=lambda entry: (entry[0], entry[2]))
    return _ACL_VERSION + b"".join(_ENTRY.pack(*entry) for entry in in_order)


def _mask(entries: list[tuple[int, int, int]]) -> int:
    return next((permissions for tag, permissions, _ in entries if tag == _MASK), 0o7)
