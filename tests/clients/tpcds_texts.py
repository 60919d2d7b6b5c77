"""Writes the texts of the TPC-DS queries, as the DuckDB extension `tpcds` carries them, into a folder.

    pip install -r requirements-tpcds.txt
    python tpcds_texts.py FOLDER

The texts belong to the Transaction Processing Performance Council, whose licence they are under, and are not part of this
repository. `tpcds_run.py` runs them.
"""

import gzip
import importlib.metadata
import sys
import tempfile
from pathlib import Path

import duckdb

PACKAGE = "duckdb-ext-tpcds"
NAME = "tpcds.duckdb_extension"


def extension(folder):
    """The extension's file, which may be compressed in its package."""
    files = [Path(file.locate()) for file in importlib.metadata.files(PACKAGE) or []]
    found = [file for file in files if file.name in (NAME, f"{NAME}.gz")]
    if len(found) != 1:
        raise SystemExit(f"{PACKAGE} has {len(found)} files of that name: {[file.name for file in files][:20]}")
    if found[0].suffix != ".gz":
        return found[0]
    plain = Path(folder) / NAME
    plain.write_bytes(gzip.decompress(found[0].read_bytes()))
    return plain


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension(folder)}'")
        queries = connection.execute("SELECT query_nr, query FROM tpcds_queries()").fetchall()
    for number, text in queries:
        (target / f"q{number:02}.sql").write_text(text, encoding="utf-8")
    print(f"{len(queries)} queries in {target}")


if __name__ == "__main__":
    main()
