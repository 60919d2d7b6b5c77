"""Tablestore requests that no client library would send: protobuf and PlainBuffer by hand, signed, put on the wire.

Written from the messages of the SDKs' `table_store.proto` and their PlainBuffer readers; it shares no line with feitian. A
message is a dict from field numbers to values: an int is a varint, text and bytes are themselves, a dict is a message, a
list repeats the field. Keys and cells are plain Python values, and `InfMin`, `InfMax`, `Auto` in keys.
"""

import base64
import hashlib
import hmac
import http.client
import struct
from datetime import datetime, timezone
from email.message import Message

ANSWER_S = 120


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(fields):
    """The bytes of a protobuf message; a field whose value is None is left out."""
    out = bytearray()
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if value is None:
                continue
            if isinstance(value, int):
                out += varint(number << 3) + varint(int(value))
                continue
            data = message(value) if isinstance(value, dict) else value.encode() if isinstance(value, str) else bytes(value)
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return bytes(out)


def _read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Field numbers to the list of their values: ints, or bytes that may be a message."""
    found, at = {}, 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            value, at = _read_varint(data, at)
            # int32 and int64 are written as 64 bits in two's complement.
            value = value - (1 << 64) if value >= 1 << 63 else value
        elif tag & 7 == 2:
            size, at = _read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise AssertionError(f"wire type {tag & 7} is in none of the messages")
        found.setdefault(tag >> 3, []).append(value)
    return found


def one(data, *path):
    """The value at a path of field numbers, or None where there is none."""
    for number in path:
        values = fields(data).get(number)
        if not values:
            return None
        data = values[0]
    return data


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1 ^ 7) & 0xFF if byte & 0x80 else byte << 1
        table.append(byte)
    return table


_CRC = _crc_table()


def crc8(data, crc=0):
    for byte in data:
        crc = _CRC[crc ^ byte]
    return crc


HEADER = b"\x75\0\0\0"
DELETE_ALL, DELETE_ONE, INCREMENT = 1, 3, 4


class InfMin:
    pass


class InfMax:
    pass


class Auto:
    pass


class Cell:
    """An attribute cell of a request: without an op it is put."""

    def __init__(self, name, value=None, op=None, timestamp=None):
        self.name, self.value, self.op, self.timestamp = name, value, op, timestamp


def _payload(value):
    """Type byte and payload."""
    for kind, byte in ((InfMin, 9), (InfMax, 10), (Auto, 11)):
        if value is kind:
            return bytes([byte])
    if isinstance(value, bool):
        return b"\2" + bytes([value])
    if isinstance(value, int):
        return b"\0" + struct.pack("<q", value)
    if isinstance(value, float):
        return b"\1" + struct.pack("<d", value)
    kind, data = (3, value.encode()) if isinstance(value, str) else (7, bytes(value))
    return bytes([kind]) + struct.pack("<i", len(data)) + data


def _cell(cell):
    """The bytes of a cell, and its checksum."""
    name = cell.name.encode()
    out = b"\3\4" + struct.pack("<i", len(name)) + name
    crc = crc8(name)
    if cell.value is not None:
        payload = _payload(cell.value)
        # The length counts the type, and for text its own length too.
        out += b"\5" + struct.pack("<i", len(payload)) + payload
        crc = crc8(payload, crc)
    if cell.op is not None:
        out += bytes([6, cell.op])
    if cell.timestamp is not None:
        stamp = struct.pack("<q", cell.timestamp)
        out += b"\7" + stamp
        crc = crc8(stamp, crc)
    if cell.op is not None:
        crc = crc8(bytes([cell.op]), crc)
    return out + bytes([10, crc]), crc


def row(key, cells=(), delete=False):
    """A PlainBuffer of one row. `key` is a list of (name, value), `cells` of `Cell` or (name, value[, timestamp])."""
    out, sums = HEADER + b"\1", bytearray()
    for name, value in key:
        data, crc = _cell(Cell(name, value))
        out, sums = out + data, sums + bytes([crc])
    if cells:
        out += b"\2"
    for cell in cells:
        if not isinstance(cell, Cell):
            cell = Cell(cell[0], cell[1], timestamp=cell[2] if len(cell) > 2 else None)
        data, crc = _cell(cell)
        out, sums = out + data, sums + bytes([crc])
    if delete:
        out += b"\x08"
    return out + bytes([9, crc8(bytes(sums) + bytes([delete]))])


class ReadRow:
    """A row as it came: its key, its cells as (name, value, timestamp), and its place in a stream (or None)."""

    def __init__(self):
        self.key, self.cells, self.sequence, self.deleted = [], [], None, False
        self.ops = []

    def __repr__(self):
        return f"<{self.key} {self.cells}{' deleted' if self.deleted else ''}>"


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise AssertionError("a PlainBuffer ends in the middle")
        self.at += count
        return piece

    def int32(self):
        return struct.unpack("<i", self.take(4))[0]

    def next(self):
        return self.data[self.at] if self.at < len(self.data) else None


def rows(data):
    """All rows of a PlainBuffer, with their checksums verified."""
    if not data:
        return []
    reader, found = _Reader(data), []
    if reader.take(4) != HEADER:
        raise AssertionError("a PlainBuffer without its header")
    while reader.next() is not None:
        found.append(_read_row(reader))
    return found


def _read_row(reader):
    read, sums = ReadRow(), bytearray()
    for part, cells in ((1, read.key), (2, read.cells)):
        if reader.next() != part:
            continue
        reader.take(1)
        while reader.next() == 3:
            (name, value, timestamp, op), crc = _read_cell(reader)
            sums.append(crc)
            cells.append((name, value) if part == 1 else (name, value, timestamp))
            if part == 2:
                read.ops.append(op)
    if reader.next() == 8:
        reader.take(1)
        read.deleted = True
    if reader.next() == 11:
        reader.take(5)
        if reader.take(1) != b"\x0c":
            raise AssertionError("an extension without sequence info")
        reader.take(4)
        parts = []
        for tag, shape in ((13, "<I"), (14, "<q"), (15, "<I")):
            if reader.take(1) != bytes([tag]):
                raise AssertionError(f"a sequence info without its part {tag}")
            parts.append(struct.unpack(shape, reader.take(struct.calcsize(shape)))[0])
        read.sequence = tuple(parts)
    if reader.take(1) != b"\x09" or reader.take(1)[0] != crc8(bytes(sums) + bytes([read.deleted])):
        raise AssertionError("the checksum of a row")
    return read


def _read_cell(reader):
    reader.take(1)
    if reader.take(1) != b"\4":
        raise AssertionError("a cell without a name")
    name = reader.take(reader.int32())
    value, payload, op, stamp = None, b"", None, b""
    if reader.next() == 5:
        reader.take(1)
        payload = reader.take(reader.int32())
        value = _value(payload)
    if reader.next() == 6:
        reader.take(1)
        op = reader.take(1)[0]
    if reader.next() == 7:
        reader.take(1)
        stamp = reader.take(8)
    crc = crc8(name + payload + stamp + (bytes([op]) if op is not None else b""))
    if reader.take(1) != b"\x0a" or reader.take(1)[0] != crc:
        raise AssertionError(f"the checksum of the cell {name!r}")
    return (name.decode(), value, struct.unpack("<q", stamp)[0] if stamp else None, op), crc


def _value(payload):
    kind, rest = payload[0], payload[1:]
    if kind == 0:
        return struct.unpack("<q", rest)[0]
    if kind == 1:
        return struct.unpack("<d", rest)[0]
    if kind == 2:
        return rest[0] != 0
    if kind in (3, 7):
        data = rest[4 : 4 + struct.unpack("<i", rest[:4])[0]]
        return data.decode() if kind == 3 else bytearray(data)
    return {9: InfMin, 10: InfMax, 11: Auto}[kind]


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status, code, text):
        super().__init__(f"{status} {code}: {text}")
        self.status, self.code, self.text = status, code, text


class Wire:
    """The way to one instance with one key, over one connection. Not for several threads."""

    def __init__(self, port, access_id, secret, instance, region=None, token=None):
        self.port, self.access_id, self.secret, self.instance = port, access_id, secret, instance
        self.region, self.token = region, token
        self.connection = None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def headers(self, operation, body, changes=None):
        """The signed headers of a request; `changes` replace or add headers before they are signed, None removes one."""
        now = datetime.now(timezone.utc)
        given = {
            "x-ots-date": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "x-ots-apiversion": "2015-12-31",
            "x-ots-accesskeyid": self.access_id,
            "x-ots-instancename": self.instance,
            "x-ots-contentmd5": base64.b64encode(hashlib.md5(body).digest()).decode(),
        }
        if self.token:
            given["x-ots-ststoken"] = self.token
        if self.region:
            given |= {"x-ots-signdate": now.strftime("%Y%m%d"), "x-ots-signregion": self.region}
        given = {name: value for name, value in (given | (changes or {})).items() if value is not None}
        lines = "\n".join(sorted(f"{name}:{value.strip()}" for name, value in given.items() if name.startswith("x-ots-")))
        text = f"/{operation}\nPOST\n\n{lines}\n"
        if self.region:
            signed = hmac.new(self.signing_key(given["x-ots-signdate"]), (text + "ots").encode(), hashlib.sha256)
            return given | {"x-ots-signaturev4": base64.b64encode(signed.digest()).decode()}
        signed = hmac.new(self.secret.encode(), text.encode(), hashlib.sha1)
        return given | {"x-ots-signature": base64.b64encode(signed.digest()).decode()}

    def signing_key(self, date):
        """What signature V4 signs with: text, not the bytes that it stands for."""
        key = ("aliyun_v4" + self.secret).encode()
        for part in (date, self.region, "ots", "aliyun_v4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return base64.b64encode(key)

    def send(self, operation, body, headers=None, method="POST", path=None):
        """Status, headers and body of the answer to a request whose headers are `headers`, or those that belong to it."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            given = self.headers(operation, body) if headers is None else headers
            self.connection.request(method, path or f"/{operation}", body, given)
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def ask(self, operation, request, headers=None):
        """The body of a success, which must be signed as the SDKs verify it; an error is raised."""
        body = request if isinstance(request, bytes) else message(request)
        sent = self.headers(operation, body) if headers is None else headers
        status, got, answer = self.send(operation, body, sent)
        if not 200 <= status < 300:
            # The SDKs verify errors, too, where they are signed.
            if got.get("Authorization"):
                self.verify(operation, sent, got, answer)
            raise refused(status, answer)
        self.verify(operation, sent, got, answer)
        return answer

    def verify(self, operation, sent, got: Message, body):
        """What the Python SDK checks of an answer (tablestore/protocol.py)."""
        for name in ("x-ots-contentmd5", "x-ots-requestid", "x-ots-date", "x-ots-contenttype"):
            if not got.get(name):
                raise AssertionError(f"the answer to {operation} lacks {name}")
        if base64.b64decode(got["x-ots-contentmd5"]) != hashlib.md5(body).digest():
            raise AssertionError(f"the MD5 of the answer to {operation}")
        datetime.strptime(got["x-ots-date"], "%Y-%m-%dT%H:%M:%S.%fZ")
        lines = sorted(f"{name.lower()}:{value.strip()}" for name, value in got.items() if name.lower().startswith("x-ots-"))
        text = "\n".join(lines) + f"\n/{operation}"
        key = self.signing_key(sent["x-ots-signdate"]) if self.region else self.secret.encode()
        wanted = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha1).digest()).decode()
        if got.get("Authorization") != f"OTS {self.access_id}:{wanted}":
            raise AssertionError(f"the signature of the answer to {operation}: {got.get('Authorization')}")


def refused(status, body):
    """The error that an answer's body says."""
    said = fields(body)
    code, text = (said.get(n, [b""])[0].decode() for n in (1, 2))
    return Refused(status, code, text)


# Requests that several tests send.

INTEGER, STRING, BINARY = 1, 2, 3
IGNORE, EXPECT_EXIST, EXPECT_NOT_EXIST = 0, 1, 2
RT_PK, RT_AFTER_MODIFY = 1, 2
PUT, UPDATE, DELETE = 1, 2, 3


def table_meta(name, keys, columns=()):
    """Keys and defined columns are (name, type[, option])."""
    schema = [{1: k[0], 2: k[1], 3: k[2] if len(k) > 2 else None} for k in keys]
    return {1: name, 2: schema, 3: [{1: c[0], 2: c[1]} for c in columns]}


def create_table(name, keys, columns=(), ttl=-1, versions=1, deviation=86400, stream=None, indexes=(), transactions=None):
    """A CreateTableRequest. `stream` is the hours of a stream."""
    return {
        1: table_meta(name, keys, columns),
        2: {1: {1: 0, 2: 0}},
        3: {1: ttl, 2: versions, 5: deviation},
        5: None if stream is None else {1: 1, 2: stream},
        7: list(indexes),
        8: None if transactions is None else int(transactions),
    }


def condition(existence=IGNORE, filter_bytes=None):
    return {1: existence, 2: filter_bytes}


def compare(column, value, comparator=1, if_missing=False, latest=True):
    """The bytes of a filter that compares one column; `if_missing` says what holds without the column."""
    single = {1: comparator, 2: column, 3: _payload(value), 4: int(not if_missing), 5: int(latest)}
    return message({1: 1, 2: single})


def both(*filters):
    """The bytes of a filter that needs all of these."""
    return message({1: 2, 2: {1: 2, 2: list(filters)}})


def put(table, key, cells=(), existence=IGNORE, filter_bytes=None, returns=None, transaction=None):
    returned = None if returns is None else {1: returns}
    return {1: table, 2: row(key, cells), 3: condition(existence, filter_bytes), 4: returned, 5: transaction}


def update(table, key, cells, existence=IGNORE, filter_bytes=None, after=(), transaction=None):
    """An UpdateRowRequest; the columns `after` are asked for as they are afterwards."""
    returned = {1: RT_AFTER_MODIFY, 2: list(after)} if after else None
    return {1: table, 2: row(key, cells), 3: condition(existence, filter_bytes), 4: returned, 5: transaction}


def delete(table, key, existence=IGNORE, filter_bytes=None, transaction=None):
    return {1: table, 2: row(key, delete=True), 3: condition(existence, filter_bytes), 5: transaction}


def get(table, key, columns=(), versions=1, filter_bytes=None, token=None, transaction=None):
    return {
        1: table,
        2: row(key),
        3: list(columns),
        5: versions,
        7: filter_bytes,
        10: token,
        11: transaction,
    }


def get_range(table, start, end, backward=False, limit=None, columns=(), filter_bytes=None, versions=1):
    return {
        1: table,
        2: int(backward),
        3: list(columns),
        5: versions,
        6: limit,
        7: row(start),
        8: row(end),
        10: filter_bytes,
    }


def units(answer):
    """Read and write units of an answer that begins with what it consumed."""
    return tuple(one(answer, 1, 1, number) or 0 for number in (1, 2))


def got_row(answer):
    """The row of an answer to GetRow or to a write that returns one; None without."""
    found = rows(one(answer, 2) or b"")
    return found[0] if found else None
