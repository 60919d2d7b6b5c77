"""Opens every table of a data directory with other people's readers, and compares with what clients were promised.

    outside.py DATA EXPECTED.json

`deltalake` reads each table's log, DuckDB reads the files that it names. EXPECTED maps a table to the sequence numbers that
must be visible; each stands for five rows, each row carries a checksum of its own numbers.
"""

import json
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


def main():
    data, expected = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    opened, rows_read, found = 0, 0, set()
    for directory in sorted((data / "warehouse").glob("*/*")):
        # A process that died before version 0 leaves a directory that is no table and that collection removes.
        if not list((directory / "_delta_log").glob("*.json")):
            continue
        table = DeltaTable(str(directory))
        opened += 1
        project, name = table.metadata().name.split(".", 1)
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


if __name__ == "__main__":
    main()
