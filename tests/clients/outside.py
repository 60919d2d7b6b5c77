"""Opens every table of a data directory with other people's readers, and compares with what clients were promised.

    outside.py DATA EXPECTED.json

`deltalake` reads each table's log, DuckDB reads the files that it names. EXPECTED maps a table to the sequence numbers that
must be visible; each stands for five rows, each row carries a checksum of its own numbers.

The server has collected with age zero and is gone: every file below a table must be named by its newest version, by a version
that an open download session reads, or by a block of an open upload or upsert session, and every file of resources and
results by a row; every one that is named must be there.
"""

import json
import sqlite3
import sys
from pathlib import Path

import duckdb
from deltalake import DeltaTable

ROWS = 5


def checksum(*numbers):
    """FNV-1a over the little-endian bytes of the numbers."""
    h = 0xCBF29CE484222325
    for n in numbers:
        for byte in n.to_bytes(8, "little", signed=True):
            h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def open_sessions(data):
    """Per table directory: the versions that downloads read, and the blocks of uploads."""
    versions, blocks = {}, {}
    with sqlite3.connect(data / "meta.db") as meta:
        of_downloads = """select t.location, s.log_version from sessions s join tables t on t.id = s.table_id
                          where s.status in ('normal', 'closing') and s.kind = 'download'"""
        for location, version in meta.execute(of_downloads):
            versions.setdefault(location, set()).add(version)
        of_uploads = """select t.location, b.path from blocks b join sessions s on s.id = b.session_id
                        join tables t on t.id = s.table_id
                        where s.status in ('normal', 'closing') and s.kind in ('upload', 'upsert')"""
        for location, path in meta.execute(of_uploads):
            blocks.setdefault(location, set()).add(path)
    return versions, blocks


def compare_files(directory, table, versions, blocks):
    """What is on disk is what somebody may still read; returns the number of files."""
    there = {str(f) for f in directory.rglob("*") if f.is_file() and "_delta_log" not in f.relative_to(directory).parts}
    named = set(table.file_uris()) | {str(directory / path) for path in blocks}
    for version in versions - {table.version()}:
        named |= set(DeltaTable(str(directory), version=version).file_uris())
    assert there == named, f"{directory}: nobody refers to {sorted(there - named)[:5]}; gone are {sorted(named - there)[:5]}"
    return len(there)


def compare_loose_files(data):
    """The same for resources and stored results, which rows name."""
    there, named = set(), set()
    for folder in ("resources", "results"):
        there |= {f.relative_to(data).as_posix() for f in (data / folder).rglob("*") if f.is_file()}
    with sqlite3.connect(data / "meta.db") as meta:
        named |= {path for (path,) in meta.execute("select path from resources where path <> ''")}
        named |= {path for (path,) in meta.execute("select result_path from instances where result_path <> ''")}
    assert there == named, f"no row names {sorted(there - named)[:5]}; gone are {sorted(named - there)[:5]}"
    return len(there)


def main():
    data, expected = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    opened, rows_read, files_there, found = 0, 0, 0, set()
    versions, blocks = open_sessions(data)
    for directory in sorted((data / "warehouse").glob("*/*")):
        # A process that died before version 0 leaves a directory that is no table: collection has emptied it.
        if not list((directory / "_delta_log").glob("*.json")):
            left = [f for f in directory.rglob("*") if f.is_file()]
            assert not left, f"{directory} is no table and holds {left[:5]}"
            continue
        table = DeltaTable(str(directory))
        opened += 1
        project, name = table.metadata().name.split(".", 1)
        location = directory.relative_to(data).as_posix()
        files_there += compare_files(directory, table, versions.get(location, set()), blocks.get(location, set()))
        files = table.file_uris()
        logged = sum(a or 0 for a in table.get_add_actions(flatten=True).column("num_records").to_pylist()) if files else 0
        counted = duckdb.execute("select count(*) from read_parquet(?)", [files]).fetchone()[0] if files else 0
        assert counted == logged, f"{name}: {counted} rows in the files, {logged} in the log"
        rows_read += counted
        if project != "demo" or name not in expected:
            continue
        found.add(name)
        query = "select writer, seq, row_no, crc from read_parquet(?) order by seq, row_no"
        rows = duckdb.execute(query, [files]).fetchall() if files else []
        for writer, seq, row, crc in rows:
            assert crc == checksum(writer, seq, row), f"{name}: torn row {writer} {seq} {row} {crc}"
        want = [(seq, row) for seq in sorted(expected[name]) for row in range(ROWS)]
        assert [(seq, row) for _, seq, row, _ in rows] == want, f"{name}: rows differ from what was acknowledged"
    missing = set(expected) - found
    assert not missing, f"tables without a directory: {sorted(missing)}"
    print(f"{opened} tables opened by deltalake, {rows_read} rows read by DuckDB, {len(found)} compared row by row: equal")
    files_there += compare_loose_files(data)
    print(f"{files_there} files of tables, resources and results, each of them referred to, none of those missing")


if __name__ == "__main__":
    main()
