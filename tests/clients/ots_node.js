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

async function range(tableName, start, end, direction, limit) {
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
  const low = [{ p: TableStore.INF_MIN }, { n: TableStore.INF_MIN }];
  const high = [{ p: TableStore.INF_MAX }, { n: TableStore.INF_MAX }];
  told.forward = await range('t', low, high, TableStore.Direction.FORWARD, 2);
  told.backward = await range('t', high, low, TableStore.Direction.BACKWARD, 2);
  told.condition = await refused(() => put('a', 3, 0, { condition: NOT_EXIST }));

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
