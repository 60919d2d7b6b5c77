"""What user code imports as odps.udf. The names are those of PyODPS (odps/udf/runtime.py)."""

__all__ = ["get_execution_context", "ExecutionContext", "BaseUDAF", "BaseUDTF", "int", "annotate", "get_annotation"]

_whole = int
_annotations = {}
# What forward() was called with since the worker has looked last.
_forwarded = []


class _Counter:
    def __init__(self):
        self._value = 0

    def get_value(self):
        return self._value

    def increment(self, number):
        self._value += number


class _Counters:
    """Counters that nobody reads: they count within one process."""

    def __init__(self):
        self._counters = {}

    def get_counter(self, group, name):
        return self._counters.setdefault((group, name), _Counter())


class ExecutionContext:
    counters = _Counters()

    def get_counters(self):
        return self.counters


def get_execution_context():
    return ExecutionContext()


class BaseUDTF:
    """Makes any number of rows of each row: process() calls forward() for each."""

    def forward(self, *values):
        _forwarded.append(values)

    def close(self):
        pass


class BaseUDAF:
    """Makes one value of a group: new_buffer(), iterate(), merge(), terminate()."""


def int(v, silent=True):
    v = _whole(v)
    if -(1 << 63) <= v < 1 << 63:
        return v
    if silent:
        return None
    raise OverflowError(f"Python int too large to convert to bigint: {v}")


def annotate(prototype):
    def mark(cls):
        _annotations[cls] = prototype
        return cls

    return mark


def get_annotation(cls):
    return _annotations.get(cls)
