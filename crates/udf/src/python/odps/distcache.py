"""What user code imports as odps.distcache: the resources of its function, which lie in memory.

Files have names below ROOT, under which `open` and `import` find them, and nothing else does.
"""

import builtins
import errno
import importlib.abc
import importlib.util
import io
import os
import sys

ROOT = WORK_DIR = "/resources"

_resources = {}
# For the name of a table what gives its rows.
_tables = {}
# The files of archives that were looked into.
_archives = {}


class DistributedCacheError(RuntimeError):
    """A resource is not what it is taken for."""


def _content(name, kinds):
    kind, content = _resources.get(name, (None, None))
    if kind is None:
        raise FileNotFoundError(f"resource '{name}' is not one of the function's resources; CREATE FUNCTION names them")
    if kind not in kinds:
        raise ValueError(f"resource '{name}' is of type {kind}, not {' or '.join(kinds)}")
    return content


def _bytes_as(path, content):
    raw = io.BytesIO(content)
    raw.name = path
    return raw


def get_cache_file(name, mode="t"):
    """The resource as a file: of text in UTF-8, or with 'b' in `mode` of bytes."""
    raw = _bytes_as(f"{ROOT}/{name}", _content(name, ("file", "py")))
    return raw if "b" in mode else io.TextIOWrapper(raw, encoding="utf-8")


def _below(name, relative_path):
    below = relative_path.strip("/").removeprefix("./")
    below = "" if below in ("", ".") else below + "/"
    return [(path, content) for path, content in _archive(name).items() if path.startswith(below)]


def get_cache_archive(name, relative_path="."):
    """The files of an archive below `relative_path`, each as a file of bytes whose `name` is its path there."""
    for path, content in _below(name, relative_path):
        yield _bytes_as(path, content)


def get_cache_archive_filenames(name, relative_path="."):
    """The names of the files of an archive below `relative_path`, for `open`."""
    return [f"{ROOT}/{name}/{path}" for path, _ in _below(name, relative_path)]


def _archive(name):
    content = _content(name, ("archive",))
    if name not in _archives:
        members = _members(io.BytesIO(content))
        _archives[name] = {path.removeprefix("./"): content for path, content in members}
    return _archives[name]


def _members(raw):
    import tarfile
    import zipfile

    if zipfile.is_zipfile(raw):
        with zipfile.ZipFile(raw) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename, archive.read(info)
        return
    raw.seek(0)
    with tarfile.open(fileobj=raw) as archive:
        for info in archive:
            if info.isfile():
                yield info.name, archive.extractfile(info).read()


def get_cache_table(name):
    """The rows of the table that the resource refers to, as it was when the statement began, each a tuple."""
    _content(name, ("table",))
    return _tables[name]()


def get_cache_tabledesc(name):
    raise NotImplementedError("get_cache_tabledesc is not supported here")


def get_cache_tableinfo(name):
    raise NotImplementedError("get_cache_tableinfo is not supported here")


def _find(path):
    """The content of the file of this name; None if it is none of ours."""
    if not path.startswith(ROOT + "/"):
        return None
    name, _, inside = path[len(ROOT) + 1 :].partition("/")
    kind, content = _resources.get(name, (None, None))
    if inside:
        return _archive(name).get(inside) if kind == "archive" else None
    return None if kind == "table" else content


def _with_resources(real):
    def open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        path = os.fspath(file) if isinstance(file, os.PathLike) else file
        content = _find(path) if isinstance(path, str) else None
        if content is None:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if set(mode) & set("wax+"):
            raise PermissionError(errno.EACCES, "a resource is only read", path)
        raw = _bytes_as(path, content)
        return raw if "b" in mode else io.TextIOWrapper(raw, encoding or "utf-8", errors, newline)

    return open


class _Loader(importlib.abc.SourceLoader):
    def __init__(self, path):
        self.path = path

    def get_filename(self, fullname):
        return self.path

    def get_data(self, path):
        content = _find(path)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, "no such resource", path)
        return content


class _Finder:
    """Finds modules in one directory of ours, which user code has put into sys.path."""

    def __init__(self, path):
        if not isinstance(path, str) or not (path + "/").startswith(ROOT + "/"):
            raise ImportError("not below the resources", path=path)
        self.path = path.rstrip("/")

    def find_spec(self, fullname, target=None):
        place = f"{self.path}/{fullname.rpartition('.')[2]}"
        for path, inside in ((f"{place}/__init__.py", [place]), (f"{place}.py", None)):
            if _find(path) is not None:
                return importlib.util.spec_from_file_location(
                    fullname, path, loader=_Loader(path), submodule_search_locations=inside
                )
        return None


# Before anything that remembers `open` is imported: tarfile, zipfile, gzip.
builtins.open = io.open = _with_resources(io.open)
sys.path_hooks.insert(0, _Finder)
