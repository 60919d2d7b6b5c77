// Drives the table store with the SDK of Tablestore from npm, and prints what it was told: one line of JSON.
'use strict';

const { createRequire } = require('module');
const { env } = process;
const TableStore = createRequire(`${env.OTS_TEST_MODULES}/`)('tablestore');

const client = new TableStore.Client({
  accessKeyId: env.OTS_TEST_ACCESS_KEY_ID,
  secretAccessKey: env.OTS_TEST_ACCESS_KEY_SECRET,
  endpoint: env.OTS_TEST_ENDPOINT,
  instancename: env.OTS_TEST_INSTANCE,
  maxRetries: 0,
});

const long = (number) => TableStore.Long.fromNumber(number);
const plain = (value) => (value !== null && typeof value === 'object' && value.toNumber ? value.toNumber() : value);
const IGNORE = new TableStore.Condition(TableStore.RowExistenceExpectation.IGNORE, null);
const NOT_EXIST = new TableStore.Condition(TableStore.RowExistenceExpectation.EXPECT_NOT_EXIST, null);
const LOW = [{ p: TableStore.INF_MIN }, { n: TableStore.INF_MIN }];
const HIGH = [{ p: TableStore.INF_MAX }, { n: TableStore.INF_MAX }];
const throughput = { capacityUnit: { read: 0, write: 0 } };
const key = (p, n) => [{ p }, { n: long(n) }];

// A row as [key values, {column: value}]; null where there is none.
const seen = (row) => {
  if (!row || !row.primaryKey) return null;
  const cells = (row.attributes || []).map((cell) => [cell.columnName, plain(cell.columnValue)]);
  return [row.primaryKey.map((column) => plain(column.value)), Object.fromEntries(cells)];
};

const put = (p, n, v, more = {}) =>
  client.putRow({ tableName: 't', condition: IGNORE, primaryKey: key(p, n), attributeColumns: [{ v: long(v) }], ...more });
const get = async (p, n, more = {}) =>
  seen((await client.getRow({ tableName: 't', primaryKey: key(p, n), maxVersions: 1, ...more })).row);

async function range(tableName, start, end, direction, limit, more = {}) {
  const found = [];
  let from = start;
  while (from) {
    const answer = await client.getRange({
      tableName,
      direction,
      maxVersions: 1,
      inclusiveStartPrimaryKey: from,
      exclusiveEndPrimaryKey: end,
      limit,
      ...more,
    });
    found.push(...answer.rows.map(seen));
    from = answer.nextStartPrimaryKey && answer.nextStartPrimaryKey.map((column) => ({ [column.name]: column.value }));
  }
  return found;
}

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return [Number(error.code), String(error.message)];
  }
  return null;
}

// What matters of the answers to describeTable and updateTable; a stream is its hours, or false.
const settings = (answer) => {
  const { timeToLive, maxVersions, deviationCellVersionInSec, allowUpdate } = answer.tableOptions;
  const { read, write } = answer.reservedThroughputDetails.capacityUnit;
  return {
    options: [timeToLive, maxVersions, plain(deviationCellVersionInSec), allowUpdate],
    throughput: [read, write],
    stream: answer.streamDetails.enableStream && answer.streamDetails.expirationTime,
  };
};

async function described(tableName) {
  const answer = await client.describeTable({ tableName });
  const typed = (columns) => columns.map((column) => [column.name, column.type]);
  return {
    ...settings(answer),
    name: answer.tableMeta.tableName,
    status: answer.tableStatus,
    key: typed(answer.tableMeta.primaryKey),
    columns: typed(answer.tableMeta.definedColumn),
    indexes: answer.indexMetas.map((index) => [index.name, index.primaryKey, index.indexType, index.indexSyncPhase]),
  };
}

// A table with a stream: batches, filters and deletions, and at last other settings.
async function another(told) {
  await client.createTable({
    tableMeta: { tableName: 'u', primaryKey: [{ name: 'p', type: 'STRING' }, { name: 'n', type: 'INTEGER' }] },
    reservedThroughput: throughput,
    tableOptions: { timeToLive: -1, maxVersions: 1 },
    streamSpecification: { enableStream: true, expirationTime: 24 },
  });
  told.streaming = await described('u');

  const batch = async (rows) => {
    const { tables } = await client.batchWriteRow({ tables: [{ tableName: 'u', rows }] });
    return tables.map((row) => [row.isOk, row.errorCode, row.errorMessage, row.primaryKey && seen(row)[0]]);
  };
  const row = (type, n, attributeColumns, more = {}) =>
    ({ type, primaryKey: key('b', n), attributeColumns, condition: IGNORE, ...more });
  const returnContent = { returnType: TableStore.ReturnType.Primarykey };
  told.puts = await batch([
    row('PUT', 0, [{ v: long(0) }, { w: 'x' }], { returnContent }),
    ...[1, 2, 3].map((n) => row('PUT', n, [{ v: long(n) }])),
  ]);
  told.changes = await batch([
    row('UPDATE', 1, [{ PUT: [{ w: 'y' }] }, { DELETE_ALL: ['v'] }]),
    row('DELETE', 2),
    row('PUT', 3, [{ v: long(30) }], { condition: NOT_EXIST }),
  ]);
  const got = await client.batchGetRow({
    tables: [
      { tableName: 'u', primaryKey: [0, 1, 2, 3].map((n) => key('b', n)) },
      { tableName: 't', primaryKey: [key('a', 3)], columnsToGet: ['v'] },
    ],
  });
  told.batch = got.tables.map((rows) => rows.map((one) => [one.isOk, one.tableName, seen(one)]));

  const { EQUAL, GREATER_THAN } = TableStore.ComparatorType;
  const compare = (name, value, comparator, passIfMissing) =>
    new TableStore.SingleColumnCondition(name, value, comparator, passIfMissing);
  const filtered = (columnFilter) => range('u', LOW, HIGH, TableStore.Direction.FORWARD, 10, { columnFilter });
  told.over = await filtered(compare('v', long(0), GREATER_THAN, false));
  told.over_or_missing = await filtered(compare('v', long(0), GREATER_THAN, true));
  const either = new TableStore.CompositeCondition(TableStore.LogicalOperator.OR);
  either.addSubCondition(compare('v', long(3), EQUAL, false));
  either.addSubCondition(compare('w', 'x', EQUAL, false));
  told.either = await filtered(either);
  const three = (v) => get('b', 3, { tableName: 'u', columnFilter: compare('v', long(v), EQUAL, false) });
  told.filtered = [await three(3), await three(30)];
  // The second of its columns.
  const page = { tableName: 'u', columnFilter: new TableStore.ColumnPaginationFilter(1, 1) };
  told.page = await get('b', 0, page);

  const { EXPECT_EXIST } = TableStore.RowExistenceExpectation;
  const deletion = (v) => client.deleteRow({
    tableName: 'u',
    primaryKey: key('b', 3),
    condition: new TableStore.Condition(EXPECT_EXIST, compare('v', long(v), EQUAL, false)),
  });
  told.kept = await refused(() => deletion(30));
  await deletion(3);
  told.left = await range('u', LOW, HIGH, TableStore.Direction.FORWARD, 10);

  told.updated = settings(await client.updateTable({
    tableName: 'u',
    reservedThroughput: { capacityUnit: { read: 5, write: 7 } },
    tableOptions: { timeToLive: 864000, maxVersions: 3, allowUpdate: false },
    streamSpecification: { enableStream: false },
  }));
  told.afterwards = await described('u');
  told.no_updates = await refused(() => client.updateRow({
    tableName: 'u',
    condition: IGNORE,
    primaryKey: key('b', 0),
    updateOfAttributeColumns: [{ PUT: [{ w: 'z' }] }],
  }));
  told.unchanged = await get('b', 0, { tableName: 'u' });
  await client.deleteTable({ tableName: 'u' });
}

async function main() {
  const told = {};
  const meta = (name, indexType, primaryKey) => ({ name, primaryKey, definedColumn: [], indexType, indexUpdateMode: indexType });
  await client.createTable({
    tableMeta: {
      tableName: 't',
      primaryKey: [{ name: 'p', type: 'STRING' }, { name: 'n', type: 'INTEGER' }],
      definedColumn: [{ name: 'v', type: TableStore.DefinedColumnType.DCT_INTEGER }],
    },
    reservedThroughput: throughput,
    tableOptions: { timeToLive: -1, maxVersions: 1 },
    indexMetas: [meta('local_v', TableStore.IndexType.IT_LOCAL_INDEX, ['p', 'v'])],
  });
  told.tables = (await client.listTable({})).tableNames;

  for (let n = 0; n < 5; n += 1) await put('a', n, 10 - n);
  told.row = await get('a', 3);
  told.missing = await get('a', 99);
  told.forward = await range('t', LOW, HIGH, TableStore.Direction.FORWARD, 2);
  told.backward = await range('t', HIGH, LOW, TableStore.Direction.BACKWARD, 2);
  told.condition = await refused(() => put('a', 3, 0, { condition: NOT_EXIST }));
  told.described = await described('t');
  await another(told);

  const increment = await client.updateRow({
    tableName: 't',
    condition: IGNORE,
    primaryKey: key('c', 0),
    updateOfAttributeColumns: [{ INCREMENT: [{ sum: long(7) }] }],
    returnContent: { returnColumns: ['sum'], returnType: TableStore.ReturnType.AfterModify },
  });
  told.increment = seen(increment.row)[1];

  const begun = { tableName: 't', primaryKey: [{ p: 'a' }] };
  for (const [name, end] of [['commit', 'commitTransaction'], ['abort', 'abortTransaction']]) {
    const { transactionId } = await client.startLocalTransaction(begun);
    await put('a', 0, name === 'commit' ? 100 : 200, { transactionId });
    const inside = (await get('a', 0, { transactionId }))[1].v;
    const outside = (await get('a', 0))[1].v;
    told[`${name}_locked`] = (await refused(() => put('a', 1, 5)))[0];
    try {
      await client[end]({ transactionId });
    } catch (error) {
      // It reads the empty answer of AbortTransaction as the request, which it finds incomplete.
      if (name !== 'abort' || !/missing required 'transactionId'/.test(error.message)) throw error;
    }
    told[name] = [inside, outside, (await get('a', 0))[1].v];
  }

  const entries = (name, keys) => {
    const bound = (value) => keys.map((column) => ({ [column]: value }));
    return range(name, bound(TableStore.INF_MIN), bound(TableStore.INF_MAX), TableStore.Direction.FORWARD, 3);
  };
  told.local = (await entries('local_v', ['p', 'v', 'n'])).map((row) => row[0]);
  await client.createIndex({
    mainTableName: 't',
    includeBaseData: true,
    indexMeta: meta('global_v', TableStore.IndexType.IT_GLOBAL_INDEX, ['v']),
  });
  // Until the rows from before are in it, reads are refused.
  for (let tries = 0; tries < 600 && !told.global; tries += 1) {
    try {
      told.global = (await entries('global_v', ['v', 'p', 'n'])).map((row) => row[0]);
    } catch (error) {
      if (!String(error.message).includes('building base state')) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  await client.dropIndex({ mainTableName: 't', indexName: 'global_v' });
  await client.deleteTable({ tableName: 't' });
  told.after = (await client.listTable({})).tableNames;
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
