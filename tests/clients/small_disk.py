"""A small file system in memory for a server's data, which only root can mount, and a file of ours that fills it."""

import os
import subprocess
import tempfile


def mounted(case, size):
    """The path of a file system of so many bytes, which is there until the test `case` has ended."""
    mount = tempfile.mkdtemp(prefix="feitian-small-disk-")
    case.addCleanup(os.rmdir, mount)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "feitian-test", mount],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        case.fail(f"this test must mount a small tmpfs, for which it needs root: {done.stderr.strip()}")
    case.addCleanup(subprocess.run, ["umount", mount], check=True)
    return mount


def free(mount):
    stat = os.statvfs(mount)
    return stat.f_bavail * stat.f_frsize


def ballast(mount, size):
    """A file of so many bytes; the space is back when it is removed."""
    path = os.path.join(mount, "ballast")
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return path
