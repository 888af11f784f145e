"""Backup and restore of the log and of everything that can not be made again from it."""

from infra.backup.manifest import DamagedBackup, Manifest, read_manifest
from infra.backup.restoring import NotEmpty, NotFitting, Restored, restore
from infra.backup.writing import BackupExists, LogNotWhole, write_backup

__all__ = [
    "BackupExists",
    "DamagedBackup",
    "LogNotWhole",
    "Manifest",
    "NotEmpty",
    "NotFitting",
    "Restored",
    "read_manifest",
    "restore",
    "write_backup",
]
