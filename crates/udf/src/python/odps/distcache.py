"""What user code imports as odps.distcache: the resources of its function, which lie in memory."""

import io

_resources = {}


def _content(name, kinds):
    kind, content = _resources.get(name, (None, None))
    if kind is None:
        raise FileNotFoundError(f"resource '{name}' is not one of the function's resources; CREATE FUNCTION names them")
    if kind not in kinds:
        raise ValueError(f"resource '{name}' is of type {kind}, not {' or '.join(kinds)}")
    return content


def get_cache_file(name, mode="t"):
    """The resource as a file: of text in UTF-8, or with 'b' in `mode` of bytes."""
    raw = io.BytesIO(_content(name, ("file", "py")))
    return raw if "b" in mode else io.TextIOWrapper(raw, encoding="utf-8")


def get_cache_archive(name, relative_path="."):
    """The files of an archive below `relative_path`, each as a file of bytes whose `name` is its path there."""
    raw = io.BytesIO(_content(name, ("archive",)))
    below = relative_path.strip("/").removeprefix("./")
    below = "" if below in ("", ".") else below + "/"
    for path, content in _members(raw):
        path = path.removeprefix("./")
        if path.startswith(below):
            member = io.BytesIO(content)
            member.name = path
            yield member


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
    raise NotImplementedError("get_cache_table is not supported here; join the table in SQL instead")


def get_cache_tabledesc(name):
    raise NotImplementedError("get_cache_tabledesc is not supported here")


def get_cache_tableinfo(name):
    raise NotImplementedError("get_cache_tableinfo is not supported here")
