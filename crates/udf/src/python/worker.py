"""Runs the class of a user's function: questions come on stdin, answers leave on stdout.

A message is 16 bytes (kind, zero, length of the rest; little endian) and the rest. Kinds of questions stand in
`main`; an answer is DONE or RAISED. Columns have Arrow's memory layout: see `frame.rs`, which writes what is read here
and reads what is written here. Only the standard library of Python 3.9 is used.
"""

import array
import collections
import datetime
import decimal
import functools
import importlib.abc
import importlib.util
import io
import itertools
import json
import os
import pickle
import resource
import signal
import struct
import sys
import traceback

HEAD = struct.Struct("<IIQ")
COUNT = struct.Struct("<Q")
DONE, RAISED = 0, 1
# The files of frames that come before the user's: this one, and the import of a module.
NOT_THE_USERS = ("<string>", "<frozen importlib")
# More of a traceback helps nobody.
MAX_TEXT = 16000
# For each byte of a bitmap its eight bits, the lowest first.
BITS = [bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256)]
DIGITS = bytes([48] + [49] * 255)
EXACT = decimal.Context(prec=90, rounding=decimal.ROUND_HALF_UP)
EPOCH = datetime.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)
FIRST_DAY = datetime.date(1970, 1, 1).toordinal()


class Misfit(Exception):
    """A value that the user's code gave and its declared type cannot hold."""


class CpuTime(BaseException):
    """The process has used up its CPU time."""


class Sources(importlib.abc.InspectLoader):
    """Modules that lie in memory: ours and the function's resources."""

    def __init__(self):
        self.texts = {}

    def find_spec(self, name, path=None, target=None):
        if name not in self.texts:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self.texts[name][0], is_package=self.is_package(name))

    def is_package(self, name):
        return name == "odps"

    def get_source(self, name):
        return self.texts[name][1]

    def get_code(self, name):
        file, text = self.texts[name]
        return compile(text, file, "exec", dont_inherit=True)


class Reader:
    """Cuts a body into buffers; each begins at a multiple of eight bytes."""

    __slots__ = ("view", "at")

    def __init__(self, view, at):
        self.view = view
        self.at = at

    def take(self, size):
        start = self.at
        self.at = start + size + (-size & 7)
        return self.view[start : start + size]

    def flags(self, count):
        """For each value whether it is there; None when all are."""
        if not COUNT.unpack(self.take(8))[0]:
            return None
        return b"".join(map(BITS.__getitem__, self.take((count + 7) // 8)))[:count]

    def offsets(self, count):
        return self.take(4 * (count + 1)).cast("i").tolist()


def with_nulls(values, flags):
    return values if flags is None else [value if there else None for value, there in zip(values, flags)]


class Writer:
    """Collects buffers, each filled up to a multiple of eight bytes."""

    __slots__ = ("parts",)

    def __init__(self):
        self.parts = []

    def put(self, buffer):
        size = len(buffer) * getattr(buffer, "itemsize", 1)
        self.parts.append(buffer)
        if size & 7:
            self.parts.append(bytes(-size & 7))

    def bits(self, flags):
        count = len(flags)
        if count:
            number = int(bytes(flags)[::-1].translate(DIGITS), 2)
            self.put(number.to_bytes((count + 7) // 8, "little"))

    def nulls(self, values):
        """Writes which values are there, and returns whether all are."""
        if None not in values:
            self.put(COUNT.pack(0))
            return True
        self.put(COUNT.pack(1))
        self.bits([value is not None for value in values])
        return False

    def offsets(self, lengths):
        try:
            self.put(array.array("i", itertools.chain((0,), itertools.accumulate(lengths))))
        except OverflowError:
            raise Misfit("the values of one batch have more than 2 GiB; return less for each row") from None


def misfit(values, fits, name):
    """The error that names the first value that is no `name`."""
    for value in values:
        if value is not None and not fits(value):
            shown = repr(value)
            shown = shown if len(shown) <= 100 else shown[:100] + "..."
            return Misfit(f"{shown} of type {type(value).__name__} was returned where the signature says {name}")
    return Misfit(f"a value was returned that is no {name}")


class Numbers:
    def __init__(self, name, code, low=None, high=None):
        self.name, self.code, self.low, self.high = name, code, low, high
        self.width = array.array(code).itemsize

    def read(self, reader, count):
        flags = reader.flags(count)
        return with_nulls(reader.take(count * self.width).cast(self.code).tolist(), flags)

    def fits(self, value):
        if self.low is None:
            return isinstance(value, (int, float))
        try:
            return self.low <= value.__index__() <= self.high
        except AttributeError:
            return False

    def write(self, writer, values):
        try:
            column = array.array(self.code, values)
        except (TypeError, OverflowError):
            column = None
        if column is not None:
            writer.put(COUNT.pack(0))
            return writer.put(column)
        writer.nulls(values)
        try:
            writer.put(array.array(self.code, [0 if value is None else value for value in values]))
        except (TypeError, OverflowError):
            raise misfit(values, self.fits, self.name) from None


class Booleans:
    def read(self, reader, count):
        flags = reader.flags(count)
        bits = b"".join(map(BITS.__getitem__, reader.take((count + 7) // 8)))[:count]
        return with_nulls(list(map(bool, bits)), flags)

    def write(self, writer, values):
        if not set(map(type, values)) <= {bool, type(None)}:
            raise misfit(values, lambda value: isinstance(value, bool), "BOOLEAN")
        writer.nulls(values)
        writer.bits([value is True for value in values])


class Texts:
    def read(self, reader, count):
        flags = reader.flags(count)
        offsets = reader.offsets(count)
        raw = bytes(reader.take(offsets[-1]))
        ends = itertools.islice(offsets, 1, None)
        if raw.isascii():
            text = raw.decode("ascii")
            values = [text[start:end] for start, end in zip(offsets, ends)]
        else:
            values = [raw[start:end].decode() for start, end in zip(offsets, ends)]
        return with_nulls(values, flags)

    def write(self, writer, values):
        full = writer.nulls(values)
        try:
            text = "".join(values if full else [value or "" for value in values if value is None or value])
        except TypeError:
            raise misfit(values, lambda value: isinstance(value, str), "STRING") from None
        if not full:
            if not set(map(type, values)) <= {str, type(None)}:
                raise misfit(values, lambda value: isinstance(value, str), "STRING")
            values = ["" if value is None else value for value in values]
        if text.isascii():
            writer.offsets(map(len, values))
            return writer.put(text.encode("ascii"))
        raws = [value.encode() for value in values]
        writer.offsets(map(len, raws))
        writer.put(b"".join(raws))


class Bytes:
    def read(self, reader, count):
        flags = reader.flags(count)
        offsets = reader.offsets(count)
        raw = bytes(reader.take(offsets[-1]))
        return with_nulls([raw[start:end] for start, end in zip(offsets, itertools.islice(offsets, 1, None))], flags)

    def write(self, writer, values):
        writer.nulls(values)
        values = [b"" if value is None else value for value in values]
        if not all(isinstance(value, (bytes, bytearray)) for value in values):
            raise misfit(values, lambda value: isinstance(value, (bytes, bytearray)), "BINARY")
        writer.offsets(map(len, values))
        writer.put(b"".join(values))


class Converted:
    """A type whose values travel as whole numbers."""

    def __init__(self, name, code, low, high, load, dump):
        self.name, self.numbers, self.load, self.dump = name, Numbers(name, code, low, high), load, dump

    def read(self, reader, count):
        load = self.load
        # What lies under a NULL need not be a value.
        return [None if number is None else load(number) for number in self.numbers.read(reader, count)]

    def write(self, writer, values):
        dump = self.dump
        self.numbers.write(writer, [None if value is None else dump(value) for value in values])


def dump_date(value):
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise misfit([value], lambda _: False, "DATE (datetime.date)")
    return value.toordinal() - FIRST_DAY


def dump_datetime(value):
    if not isinstance(value, datetime.datetime) or value.tzinfo is not None:
        raise misfit([value], lambda _: False, "DATETIME (datetime.datetime without a time zone)")
    return (value - EPOCH) // MICROSECOND


def dates():
    return Converted("DATE", "i", -(1 << 31), (1 << 31) - 1, lambda n: datetime.date.fromordinal(n + FIRST_DAY), dump_date)


def datetimes():
    load = lambda n: EPOCH + datetime.timedelta(microseconds=n)  # noqa: E731
    return Converted("DATETIME", "q", -(1 << 63), (1 << 63) - 1, load, dump_datetime)


class Decimals:
    def __init__(self, precision, scale):
        self.scale, self.bound = scale, 10**precision
        self.name = f"DECIMAL({precision},{scale})"

    def read(self, reader, count):
        flags = reader.flags(count)
        raw, scale = bytes(reader.take(count * 16)), -self.scale
        numbers = [int.from_bytes(raw[i : i + 16], "little", signed=True) for i in range(0, len(raw), 16)]
        values = [EXACT.scaleb(decimal.Decimal(number), scale) for number in numbers]
        return with_nulls(values, flags)

    def dump(self, value):
        if value is None:
            return bytes(16)
        whole = isinstance(value, (decimal.Decimal, int)) and not isinstance(value, bool)
        if not whole or not decimal.Decimal(value).is_finite():
            raise misfit([value], lambda _: False, self.name)
        # More digits than EXACT holds are more than the type holds.
        if decimal.Decimal(value).adjusted() > 40:
            raise misfit([value], lambda _: False, self.name)
        exact = EXACT.scaleb(decimal.Decimal(value), self.scale)
        number = int(exact.to_integral_value(decimal.ROUND_HALF_UP, EXACT))
        if not -self.bound < number < self.bound:
            raise misfit([value], lambda _: False, self.name)
        return number.to_bytes(16, "little", signed=True)

    def write(self, writer, values):
        writer.nulls(values)
        writer.put(b"".join(map(self.dump, values)))


class Lists:
    def __init__(self, items):
        self.items = items

    def read(self, reader, count):
        flags = reader.flags(count)
        offsets = reader.offsets(count)
        items = self.items.read(reader, offsets[-1])
        return with_nulls([items[start:end] for start, end in zip(offsets, offsets[1:])], flags)

    def write(self, writer, values):
        writer.nulls(values)
        values = [() if value is None else value for value in values]
        if not all(isinstance(value, (list, tuple)) for value in values):
            raise misfit(values, lambda value: isinstance(value, (list, tuple)), "ARRAY (list)")
        writer.offsets(map(len, values))
        self.items.write(writer, list(itertools.chain.from_iterable(values)))


class Maps:
    def __init__(self, keys, items):
        self.keys, self.items = keys, items

    def read(self, reader, count):
        flags = reader.flags(count)
        offsets = reader.offsets(count)
        keys, items = self.keys.read(reader, offsets[-1]), self.items.read(reader, offsets[-1])
        pairs = zip(offsets, offsets[1:])
        return with_nulls([dict(zip(keys[start:end], items[start:end])) for start, end in pairs], flags)

    def write(self, writer, values):
        writer.nulls(values)
        values = [{} if value is None else value for value in values]
        if not all(isinstance(value, dict) for value in values):
            raise misfit(values, lambda value: isinstance(value, dict), "MAP (dict)")
        writer.offsets(map(len, values))
        keys = list(itertools.chain.from_iterable(values))
        if None in keys:
            raise Misfit("a MAP has no key None")
        self.keys.write(writer, keys)
        self.items.write(writer, [item for value in values for item in value.values()])


class Structs:
    def __init__(self, names, fields):
        self.row, self.fields = collections.namedtuple("Struct", names, rename=True), fields

    def read(self, reader, count):
        flags = reader.flags(count)
        columns = [field.read(reader, count) for field in self.fields]
        return with_nulls(list(map(self.row._make, zip(*columns))), flags)

    def write(self, writer, values):
        writer.nulls(values)
        width = len(self.fields)
        fits = lambda value: isinstance(value, (tuple, list)) and len(value) == width  # noqa: E731
        if not all(value is None or fits(value) for value in values):
            raise misfit(values, fits, f"STRUCT (a tuple of {width})")
        nothing = (None,) * width
        columns = zip(*[nothing if value is None else value for value in values]) if values else ((),) * width
        for field, column in zip(self.fields, columns):
            field.write(writer, list(column))


PLAIN = {
    "tinyint": lambda: Numbers("TINYINT", "b", -(1 << 7), (1 << 7) - 1),
    "smallint": lambda: Numbers("SMALLINT", "h", -(1 << 15), (1 << 15) - 1),
    "int": lambda: Numbers("INT", "i", -(1 << 31), (1 << 31) - 1),
    "bigint": lambda: Numbers("BIGINT", "q", -(1 << 63), (1 << 63) - 1),
    "float": lambda: Numbers("FLOAT", "f"),
    "double": lambda: Numbers("DOUBLE", "d"),
    "boolean": Booleans,
    "string": Texts,
    "binary": Bytes,
    "date": dates,
    "datetime": datetimes,
}


def column_type(described):
    """The reader and writer of a type: a name, or a list of a name and what is in it."""
    if isinstance(described, str):
        return PLAIN[described]()
    name, *inside = described
    if name == "decimal":
        return Decimals(*inside)
    if name == "array":
        return Lists(column_type(inside[0]))
    if name == "map":
        return Maps(column_type(inside[0]), column_type(inside[1]))
    return Structs([field for field, _ in inside[0]], [column_type(ty) for _, ty in inside[0]])


def table_rows(content):
    """The rows of a table that is a resource: see `table.rs`."""
    view = memoryview(content)
    (at,) = COUNT.unpack(view[:8])
    types = [column_type(described) for described in json.loads(bytes(view[8 : 8 + at]))]
    at += 8
    while at < len(view):
        (size,) = COUNT.unpack(view[at : at + 8])
        block = view[at + 8 : at + 8 + size]
        at += 8 + size
        (rows,) = COUNT.unpack(block[:8])
        reader = Reader(block, 8)
        yield from zip(*[ty.read(reader, rows) for ty in types])


class Function:
    """The user's class, and one object of it that lives as long as the process."""

    def __init__(self):
        self.cls = self.udf = self.made = None
        self.arguments, self.result = (), None

    def load(self, body):
        (size,) = COUNT.unpack(body[:8])
        what = json.loads(bytes(body[8 : 8 + size]))
        at = 8 + size
        resources = {}
        for name, kind, length in what["resources"]:
            resources[name] = (kind, bytes(body[at : at + length]))
            at += length
        sources = Sources()
        for name, text in what["modules"]:
            sources.texts[name] = (f"<{name}>", text)
        for name, (kind, content) in resources.items():
            if kind == "py":
                sources.texts[name[: -len(".py")]] = (name, importlib.util.decode_source(content))
        sys.meta_path.insert(0, sources)
        import odps.distcache
        import odps.udf

        odps.distcache._resources.update(resources)
        for name, (kind, content) in resources.items():
            if kind == "table":
                odps.distcache._tables[name] = functools.partial(table_rows, content)
        self.udf = odps.udf
        __import__(what["module"])
        cls = getattr(sys.modules[what["module"]], what["class"], None)
        if not isinstance(cls, type):
            raise Misfit(f"module {what['module']} has no class {what['class']}")
        self.cls = cls
        kind = "scalar"
        if issubclass(cls, self.udf.BaseUDTF):
            kind = "table"
        elif issubclass(cls, self.udf.BaseUDAF):
            kind = "aggregate"
        says = {"kind": kind, "annotation": self.udf.get_annotation(cls)}
        return [json.dumps(says).encode()]

    def prepare(self, body):
        what = json.loads(bytes(body))
        self.arguments = [column_type(described) for described in what["arguments"]]
        self.result = column_type(what["result"])
        return []

    def object(self):
        if self.made is None:
            self.made = self.cls()
        return self.made

    def columns(self, body):
        (rows,) = COUNT.unpack(body[:8])
        reader = Reader(body, 8)
        return rows, [argument.read(reader, rows) for argument in self.arguments]

    def evaluate(self, body):
        rows, columns = self.columns(body)
        evaluate = self.object().evaluate
        values = list(map(evaluate, *columns)) if columns else [evaluate() for _ in range(rows)]
        writer = Writer()
        self.result.write(writer, values)
        return writer.parts

    def process(self, body):
        """Of each row a list of structs: what forward() was called with."""
        rows, columns = self.columns(body)
        process, forwarded = self.object().process, self.udf._forwarded
        del forwarded[:]
        ends = []
        for row in zip(*columns) if columns else itertools.repeat((), rows):
            process(*row)
            ends.append(len(forwarded))
        return self.lists(ends)

    def close(self, body):
        """What is forwarded after the last row, as one list; rows that come later are another object's."""
        made, self.made, forwarded = self.object(), None, self.udf._forwarded
        del forwarded[:]
        made.close()
        return self.lists([len(forwarded)])

    def lists(self, ends):
        """What was forwarded as lists of structs, of which each ends at one of `ends`."""
        width, forwarded = len(self.result.items.fields), self.udf._forwarded
        for values in forwarded:
            if len(values) != width:
                raise Misfit(f"forward() was called with {len(values)} values, the signature says {width}")
        writer = Writer()
        writer.put(COUNT.pack(0))
        writer.put(array.array("i", [0] + ends))
        self.result.items.write(writer, forwarded)
        del forwarded[:]
        return writer.parts

    def buffers(self, reader, count):
        """The buffers of `count` groups; a group that is new has none yet."""
        new = self.object().new_buffer
        return [new() if raw is None else pickle.loads(raw) for raw in BUFFERS.read(reader, count)]

    def grouped(self, body):
        """Rows, groups, and for each row the number of its group."""
        rows, groups = COUNT.unpack(body[:8])[0], COUNT.unpack(body[8:16])[0]
        reader = Reader(body, 16)
        return reader, rows, self.buffers(reader, groups), GROUPS.read(reader, rows)

    def iterate(self, body):
        reader, rows, buffers, groups = self.grouped(body)
        iterate = self.object().iterate
        columns = [argument.read(reader, rows) for argument in self.arguments]
        for group, *row in zip(groups, *columns):
            iterate(buffers[group], *row)
        return dumped(buffers)

    def merge(self, body):
        reader, rows, buffers, groups = self.grouped(body)
        merge = self.object().merge
        for group, other in zip(groups, self.buffers(reader, rows)):
            merge(buffers[group], other)
        return dumped(buffers)

    def terminate(self, body):
        (groups,) = COUNT.unpack(body[:8])
        writer = Writer()
        self.result.write(writer, list(map(self.object().terminate, self.buffers(Reader(body, 8), groups))))
        return writer.parts


BUFFERS, GROUPS = Bytes(), PLAIN["int"]()


def dumped(buffers):
    writer = Writer()
    BUFFERS.write(writer, [pickle.dumps(buffer, 4) for buffer in buffers])
    return writer.parts


def failure(error):
    """The traceback of an error, without the frames of this file in front."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(NOT_THE_USERS):
        trace = trace.tb_next
    if isinstance(error, Misfit):
        text = str(error)
    else:
        text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    return text[-MAX_TEXT:].encode("utf-8", "backslashreplace")


def out_of_time(*_):
    raise CpuTime("the function has used up its CPU time (user_code.cpu_time)")


def channels():
    """The two ends of the talk. What user code prints goes to stderr, and it reads nothing."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    # The process is ended without asking; what was printed is in the log then.
    sys.stdout.reconfigure(line_buffering=True)
    # Whatever else this process was started with is none of the user's business.
    first, second = sorted((source.fileno(), sink.fileno()))
    for low, high in ((3, first), (first + 1, second), (second + 1, 256)):
        os.closerange(low, high)
    return source, sink


def confine(memory, place):
    """The limits with which this process could not have been started."""
    memory = min(int(memory), sys.maxsize)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if place == "alone":
        # There are more already, so that there can be no further process and no thread.
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


def say(sink, kind, parts):
    size = sum(len(part) * getattr(part, "itemsize", 1) for part in parts)
    sink.write(HEAD.pack(kind, 0, size))
    for part in parts:
        sink.write(part)
    sink.flush()


def main():
    confine(*sys.argv[1:])
    del sys.argv[1:]
    source, sink = channels()
    function = Function()
    answers = {
        1: function.load,
        2: function.prepare,
        3: function.evaluate,
        4: function.process,
        5: function.iterate,
        6: function.merge,
        7: function.terminate,
        8: function.close,
    }
    signal.signal(signal.SIGXCPU, out_of_time)
    # The server leaves ends by its own signals out of this group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say(sink, DONE, [b"feitian"])
    while True:
        head = source.read(HEAD.size)
        if len(head) < HEAD.size:
            os._exit(0)
        kind, _, size = HEAD.unpack(head)
        body = source.read(size)
        if len(body) < size:
            os._exit(0)
        try:
            status, parts = DONE, answers[kind](memoryview(body))
        except BaseException as error:
            status, parts = RAISED, [failure(error)]
        del body
        say(sink, status, parts)


main()
