"""What the tests of the table store share: instances of their own, the Python SDK from PyPI, and requests by hand.

Every test has an instance to itself, so that tables need no names that nobody else uses.
"""

import logging
import unittest

from tablestore import OTSClient, OTSServiceError, TableMeta, TableOptions
from tablestore import CapacityUnit, Condition, ReservedThroughput, RowExistenceExpectation
from tablestore.retry import DefaultRetryPolicy, NoRetryPolicy

import harness
import ots_raw

# The SDK logs every answer that is no success, and most of those here are what a test asks for.
logging.getLogger(OTSClient.DEFAULT_LOGGER_NAME).setLevel(logging.CRITICAL)

IGNORE = Condition(RowExistenceExpectation.IGNORE)
EXIST = Condition(RowExistenceExpectation.EXPECT_EXIST)
NOT_EXIST = Condition(RowExistenceExpectation.EXPECT_NOT_EXIST)

# What the service says (its documentation, "Error codes"; the SDKs' own tests compare the words).
NO_TABLE = (404, "OTSObjectNotExist", "Requested table does not exist.")
FAILED_CONDITION = (403, "OTSConditionCheckFail", "Condition check failed.")


def new_instance(server):
    """An instance of the first account. Names of instances have 3 to 16 letters, digits and hyphens."""
    name = harness.unique("i").replace("_", "-")
    server.cli("ots", "instance", "create", name)
    return name


def endpoint(server):
    return f"http://127.0.0.1:{server.ots_port}"


def sdk(server, instance, policy=None, **changes):
    """The SDK's client, which tries nothing again unless a policy says so."""
    login = server.credentials() | changes
    retries = policy or NoRetryPolicy()
    return OTSClient(endpoint(server), login["access_id"], login["secret"], instance, retry_policy=retries)


def wire(server, instance, **changes):
    """The way to an instance for requests by hand; `changes` are arguments of `ots_raw.Wire`."""
    login = server.credentials()
    arguments = {"access_id": login["access_id"], "secret": login["secret"], **changes}
    return ots_raw.Wire(server.ots_port, instance=instance, **arguments)


def create(client, name, keys, ttl=-1, versions=1, deviation=86400, columns=(), indexes=()):
    """Creates a table; `keys` is for example [("k", "STRING")]."""
    meta = TableMeta(name, keys, list(columns))
    options = TableOptions(ttl, versions, deviation)
    client.create_table(meta, options, ReservedThroughput(CapacityUnit(0, 0)), list(indexes))
    return name


class OtsCase(unittest.TestCase):
    """A test against the shared server: `self.ots` is the SDK's client of an instance of its own, `self.wire` the other way."""

    maxDiff = 4000

    def setUp(self):
        self.use(harness.shared())

    def use(self, server):
        self.server = server
        self.instance = new_instance(server)
        self.connect()

    def connect(self):
        """Clients anew, as after a restart."""
        self.ots = sdk(self.server, self.instance)
        # As an application has it: what certainly did not happen is tried again.
        self.patient = sdk(self.server, self.instance, DefaultRetryPolicy())
        self.wire = wire(self.server, self.instance)
        self.addCleanup(self.wire.close)

    def refusal(self, call, *arguments, **named):
        """Status, code and text of the error that the SDK raises."""
        with self.assertRaises(OTSServiceError) as raised:
            call(*arguments, **named)
        error = raised.exception
        return error.http_status, error.code, error.message

    def raw_refusal(self, operation, request, headers=None):
        """The same of a request by hand."""
        with self.assertRaises(ots_raw.Refused) as raised:
            self.wire.ask(operation, request, headers)
        return raised.exception.status, raised.exception.code, raised.exception.text

    def columns(self, table, key, **options):
        """The cells of a row as (name, value), or None without the row."""
        _, row, _ = self.ots.get_row(table, key, **{"max_version": 1, **options})
        return None if row is None else [(name, value) for name, value, _ in row.attribute_columns]
