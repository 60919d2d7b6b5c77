"""Data directories of earlier versions, and what was written into them: `python old_data.py TARGET.tar.gz` packs a new one.

A fixture is made once, by the first program that writes its format, and is never changed: later programs must read it.
The values here are what the client wrote; the keys in the directory are good for nothing else.
"""

import datetime
import decimal
import os
import sys
import tarfile

import pandas as pd
from odps.compat import Monthdelta

D = decimal.Decimal
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")

# Type, and two values of it; the third row is NULL everywhere.
TYPES = {
    "tinyint": (-128, 127),
    "smallint": (-32_768, 32_767),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63) + 1, 2**63 - 1),
    "float": (-0.15625, 1.5 * 2.0**100),
    "double": (0.1, 5e-324),
    "boolean": (True, False),
    "string": ("", "飞天 \U0001f680\n\x00"),
    "varchar(5)": ("", "飞天abc"),
    "char(3)": ("abc", "飞天x"),
    "binary": (b"", bytes(range(256))),
    "date": (datetime.date(1900, 2, 28), datetime.date(9999, 12, 31)),
    "datetime": (datetime.datetime(2024, 1, 2, 3, 4, 5, 500_000), datetime.datetime(9999, 12, 31, 23, 59, 59)),
    "timestamp": (pd.Timestamp("2024-01-02 03:04:05.123456789"), pd.Timestamp("1970-01-01 08:00:00")),
    "timestamp_ntz": (pd.Timestamp("2024-01-02 03:04:05.123456789"), pd.Timestamp("1970-01-01 00:00:00.000000001")),
    "decimal(38,18)": (D("-12345678901234567890.123456789012345678"), D("99999999999999999999")),
    "decimal(10,2)": (D("12345678.90"), D("-0.01")),
    "interval_day_time": (pd.Timedelta(seconds=-1.5), pd.Timedelta(days=400, seconds=5, nanoseconds=7)),
    "interval_year_month": (Monthdelta(-25), Monthdelta(1200)),
    "json": ({"a": [1, 2.5, None, "飞"]}, []),
    "array<string>": (["", None, "飞天"], []),
    "map<int,array<string>>": ({1: ["x", None], 2: []}, {}),
    "struct<a:struct<b:array<double>>,c:map<string,date>>": (
        (([0.5, None],), {"k": datetime.date(2024, 2, 29)}),
        (None, None),
    ),
    "array<struct<x:tinyint,y:decimal(10,2)>>": ([(1, D("2.50")), None], []),
}
COLUMNS = ", ".join(f"c{i} {kind}" for i, kind in enumerate(TYPES))
ROWS = [*zip(*TYPES.values()), (None,) * len(TYPES)]

# Partition and its numbers, in the order of writing; the table is overwritten once, so that its log has a removal.
PARTS = {"pt=a,n=1": [3, 1, 2], "pt=飞 天%,n=-7": [5]}

COMMITS = 105


def write(o):
    """Fills an empty server."""
    o.create_table("every_type", COLUMNS)
    o.write_table("every_type", [list(row) for row in ROWS])
    o.create_table("parts", ("n1 bigint", "pt string, n bigint"), comment="kept", lifecycle=30)
    for spec, numbers in PARTS.items():
        o.write_table("parts", [[-1]], partition=spec, create_partition=True)
        o.write_table("parts", [[number] for number in numbers], partition=spec, overwrite=True)
    o.get_table("parts").create_partition("pt=empty,n=0")
    # Beyond a checkpoint of the log.
    o.create_table("many", "n bigint")
    for n in range(COMMITS):
        o.write_table("many", [[n]])
    o.execute_sql("CREATE VIEW odd AS SELECT n1, pt FROM parts WHERE n1 % 2 = 1")


def pack(target):
    """Runs a server on an empty directory, fills it, and packs the directory."""
    import harness

    server = harness.Server().start()
    try:
        write(server.entry())
        server.stop()
        with tarfile.open(target, "w:gz") as archive:
            archive.add(server.data, arcname="data")
    finally:
        server.close()


if __name__ == "__main__":
    pack(sys.argv[1])
