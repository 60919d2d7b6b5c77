//! Statements that PyODPS 0.13 really sends: printed by its own code (odps/models/table.py, odps/models/tableio.py).

use feitian_sql::{AlterOp, PartitionCondition, PartitionOp, Place, Shards, Statement, Truncate, object_parts};
use feitian_types::{Column, DataType, PartitionSpec};

use crate::{lacking, one};

fn column(name: &str, ty: &str, comment: &str) -> Column {
    let mut column = Column::new(name, DataType::parse(ty).unwrap());
    column.comment = comment.to_string();
    column
}

fn spec(pairs: &[(&str, &str)]) -> PartitionSpec {
    PartitionSpec(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
}

fn alter(text: &str) -> AlterOp {
    match one(text) {
        Statement::AlterTable(alter) => {
            assert_eq!(object_parts(&alter.name)[0], "proj", "{text}");
            alter.op
        }
        other => panic!("{other:?}"),
    }
}

// Table.gen_create_table_sql
#[test]
fn create_table_with_everything() {
    let text = "CREATE TABLE IF NOT EXISTS proj.`t1` (
  `id` BIGINT NOT NULL COMMENT 'it\\'s an id',
  `name` STRING COMMENT 'a \\\"q\\\" \\\\ b',
  `m` MAP<STRING,ARRAY<DOUBLE>>,
  `d` DECIMAL(10,2)
)
COMMENT 'c\\'1'
PARTITIONED BY (
  `ds` STRING COMMENT 'day',
  `hh` STRING
)
LIFECYCLE 10";
    let Statement::CreateTable(table) = one(text) else { panic!() };
    let mut id = column("id", "bigint", "it's an id");
    id.nullable = false;
    let name = column("name", "string", "a \"q\" \\ b");
    assert_eq!(object_parts(&table.name), ["proj", "t1"]);
    assert_eq!(
        table.columns,
        [id, name, column("m", "map<string,array<double>>", ""), column("d", "decimal(10,2)", "")]
    );
    assert_eq!(table.partition_columns, [column("ds", "string", "day"), column("hh", "string", "")]);
    assert_eq!((table.if_not_exists, table.comment.as_deref(), table.lifecycle), (true, Some("c'1"), Some(10)));
}

#[test]
fn create_table_of_a_transactional_table_in_a_schema() {
    let text = "CREATE TABLE proj.s.`t2` (
  `id` BIGINT NOT NULL,
  PRIMARY KEY (`id`)
)
PARTITIONED BY (
  `ds` STRING COMMENT 'day'
)
TBLPROPERTIES (
  'storagetier' = 'standard',
  'transactional' = 'true'
)";
    let Statement::CreateTable(table) = one(text) else { panic!() };
    assert_eq!(object_parts(&table.name), ["proj", "s", "t2"]);
    assert_eq!(table.primary_key, ["id"]);
    let properties = [("storagetier", "standard"), ("transactional", "true")];
    assert_eq!(table.properties, properties.map(|(k, v)| (k.to_string(), v.to_string())));
}

// `create_table('t', ('a bigint, b string', 'pt string'))` pastes the user's text.
#[test]
fn create_table_from_text() {
    let Statement::CreateTable(table) =
        one("CREATE TABLE `t3` (\na bigint, b string\n)\nPARTITIONED BY (\npt string\n)\nLIFECYCLE 3")
    else {
        panic!()
    };
    assert_eq!(table.columns, [column("a", "bigint", ""), column("b", "string", "")]);
    assert_eq!(table.partition_columns, [column("pt", "string", "")]);
}

#[test]
fn what_the_engine_lacks_is_named() {
    let view = "CREATE VIEW IF NOT EXISTS `v1` (\n  `id` COMMENT 'it\\'s an id',\n  `m`\n)\nCOMMENT 'vc'\n";
    let text = format!("{view}PARTITIONED ON (\n  `ds` COMMENT 'day',\n  `hh`\n)\nAS select * from t");
    assert_eq!(lacking(&text), "CREATE VIEW … PARTITIONED ON");
    let materialized = "CREATE MATERIALIZED VIEW `mv1` LIFECYCLE 3 (\n  `id`\n)\nDISABLE REWRITE\nAS select * from t";
    assert!(matches!(one(materialized), Statement::CreateMaterialized(v) if v.lifecycle == Some(3) && !v.rewrite));
    let external = "CREATE EXTERNAL TABLE `e1` (\n  `id` BIGINT\n)\nSTORED BY 'com.aliyun.odps.CsvStorageHandler'\n\
         LOCATION 'oss://b/p/'";
    assert!(matches!(one(external), Statement::CreateExternal(_)));
    let sharded = "CREATE TABLE `t5` (\n  `id` BIGINT\n)\nLIFECYCLE 3\nINTO 4 SHARDS HUBLIFECYCLE 2";
    let Statement::CreateTable(t) = one(sharded) else { panic!() };
    assert_eq!(t.shards, Some(Shards { shards: 4, hub_lifecycle: Some(2) }));
    let auto = "CREATE TABLE `t6` (\n  `c` DATETIME\n)\nAUTO PARTITIONED BY (\n  trunc_time(`c`, 'day') AS `pt`\n)";
    let Statement::CreateTable(t) = one(auto) else { panic!() };
    assert_eq!(t.partition_columns, [column("pt", "string", "")]);
    let auto = t.auto_partition.unwrap();
    assert_eq!((auto.source.name.as_str(), auto.unit.as_str()), ("c", "day"));
    let Statement::CreateView(v) = one(&format!("{view}AS select * from t")) else { panic!() };
    assert_eq!(v.columns, [("id".to_string(), Some("it's an id".to_string())), ("m".to_string(), None)]);
    assert_eq!((v.query_text.as_str(), v.comment.as_deref(), v.if_not_exists), ("select * from t", Some("vc"), true));
}

// Table.truncate
#[test]
fn truncate_of_a_table_and_of_partitions() {
    let truncated = |text| match one(text) {
        Statement::Truncate(Truncate { partitions, .. }) => partitions,
        other => panic!("{other:?}"),
    };
    assert_eq!(truncated("TRUNCATE TABLE proj.`t1`"), []);
    assert_eq!(
        truncated("TRUNCATE TABLE proj.`t1` PARTITION (ds='1',hh='2'), PARTITION (ds='2',hh='3')"),
        [spec(&[("ds", "1"), ("hh", "2")]), spec(&[("ds", "2"), ("hh", "3")])]
    );
}

// Table.add_columns, delete_columns, rename_column
#[test]
fn changes_of_columns() {
    assert_eq!(
        alter("ALTER TABLE proj.`t1` ADD COLUMNS IF NOT EXISTS (\n    `x` STRING COMMENT 'c'\n)"),
        AlterOp::AddColumns { if_not_exists: true, columns: vec![column("x", "string", "c")], place: Place::Stay }
    );
    assert_eq!(
        alter("ALTER TABLE proj.`t1` ADD COLUMNS (\nfid double, fid2 double\n)"),
        AlterOp::AddColumns {
            if_not_exists: false,
            columns: vec![column("fid", "double", ""), column("fid2", "double", "")],
            place: Place::Stay
        }
    );
    // odps/tests use the singular without parentheses.
    assert_eq!(
        alter("ALTER TABLE proj.t1 ADD COLUMN c bigint"),
        AlterOp::AddColumns { if_not_exists: false, columns: vec![column("c", "bigint", "")], place: Place::Stay }
    );
    assert_eq!(
        alter("ALTER TABLE proj.`t1` DROP COLUMNS `a`, `b`"),
        AlterOp::DropColumns { names: vec!["a".into(), "b".into()] }
    );
    assert_eq!(
        alter("ALTER TABLE proj.`t1` CHANGE COLUMN a RENAME TO b"),
        AlterOp::RenameColumn { old: "a".into(), new: "b".into() }
    );
    assert_eq!(
        alter("ALTER TABLE proj.`t1` CHANGE COLUMN id   `id2` BIGINT NOT NULL COMMENT 'c'"),
        AlterOp::ChangeColumn {
            old: "id".into(),
            new: "id2".into(),
            ty: DataType::BigInt,
            not_null: true,
            comment: Some("c".into()),
            place: Place::Stay
        }
    );
}

// Table.set_lifecycle, set_comment, set_owner, rename, touch, set_storage_tier, set_cluster_info
#[test]
fn changes_of_tables() {
    assert_eq!(alter("ALTER TABLE proj.`t1` SET LIFECYCLE 10"), AlterOp::SetLifecycle { days: 10 });
    assert_eq!(alter("ALTER TABLE proj.`t1` SET COMMENT 'it\\'s'"), AlterOp::SetComment { comment: "it's".into() });
    assert_eq!(
        alter("ALTER TABLE proj.`t1` CHANGEOWNER TO 'ALIYUN$x@y.z'"),
        AlterOp::ChangeOwner { owner: "ALIYUN$x@y.z".into() }
    );
    match alter("ALTER TABLE proj.`t1` RENAME TO `t2`") {
        AlterOp::RenameTo { name } => assert_eq!(object_parts(&name), ["t2"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(alter("ALTER TABLE proj.`t2` TOUCH"), AlterOp::Touch { partition: None });
    let partition = spec(&[("ds", "1"), ("hh", "2")]);
    assert_eq!(
        alter("ALTER TABLE proj.`t2` TOUCH  PARTITION (ds='1',hh='2')"),
        AlterOp::Touch { partition: Some(partition.clone()) }
    );
    let properties = vec![("storagetier".to_string(), "lowfrequency".to_string())];
    assert_eq!(
        alter("ALTER TABLE proj.`t2` SET TBLPROPERTIES('storagetier'='lowfrequency')"),
        AlterOp::SetProperties { properties: properties.clone() }
    );
    assert_eq!(
        alter("ALTER TABLE proj.`t2` PARTITION (ds='1',hh='2') SET PARTITIONPROPERTIES('storagetier'='lowfrequency')"),
        AlterOp::SetPartitionProperties { partition, properties }
    );
    assert_eq!(alter("ALTER TABLE proj.`t2` NOT CLUSTERED"), AlterOp::NotClustered);
    match alter("ALTER TABLE proj.t2 RANGE CLUSTERED BY (`a`, `b`) SORTED BY (`a` ASC, `b` DESC) INTO 8 BUCKETS") {
        AlterOp::SetClustering { clustering } => {
            assert_eq!((clustering.range, clustering.buckets), (true, Some(8)));
            assert_eq!(clustering.columns, ["a", "b"]);
            assert_eq!(clustering.sorted_by, [("a".to_string(), true), ("b".to_string(), false)]);
        }
        other => panic!("{other:?}"),
    }
}

// Partitions.create, delete; Table.change_partition_spec
#[test]
fn changes_of_partitions() {
    let partition = spec(&[("ds", "1"), ("hh", "2")]);
    assert_eq!(
        alter("ALTER TABLE proj.`t2` ADD IF NOT EXISTS  PARTITION (ds='1',hh='2')"),
        AlterOp::AddPartitions { if_not_exists: true, specs: vec![partition.clone()], locations: vec![None] }
    );
    let equal =
        |name: &str, value: &str| PartitionCondition { name: name.into(), op: PartitionOp::Eq, value: value.into() };
    assert_eq!(
        alter("ALTER TABLE proj.`t2` DROP IF EXISTS  PARTITION (ds='1',hh='2')"),
        AlterOp::DropPartitions {
            if_exists: true,
            specs: vec![vec![equal("ds", "1"), equal("hh", "2")]],
            purge: false
        }
    );
    assert_eq!(
        alter("ALTER TABLE proj.`t2` PARTITION (ds='1',hh='2') RENAME TO  PARTITION (ds='2',hh='2')"),
        AlterOp::RenamePartition { from: partition, to: spec(&[("ds", "2"), ("hh", "2")]) }
    );
}

// tableio.py: write_sql_result_to_table and the INSERT behind DataFrame uploads.
#[test]
fn create_as_and_insert_from_a_temporary_table() {
    let Statement::CreateTable(t) = one("CREATE TABLE tmp_1 LIFECYCLE 1 AS select * from t") else { panic!() };
    assert_eq!((t.lifecycle, t.as_query.unwrap().to_string().as_str()), (Some(1), "SELECT * FROM t"));
    let text = "INSERT INTO `t` PARTITION (`ds`='1', `hh`) (`a`, `hh`) SELECT `a`, `hh` FROM tmp_1";
    let Statement::Insert(insert) = one(text) else { panic!() };
    let terms: Vec<_> = insert.partition.unwrap().into_iter().map(|t| (t.name, t.value)).collect();
    assert_eq!(terms, [("ds".to_string(), Some("1".to_string())), ("hh".to_string(), None)]);
    assert_eq!(insert.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "hh"]);
    assert_eq!((insert.overwrite, insert.source.to_string().as_str()), (false, "SELECT `a`, `hh` FROM tmp_1"));
}

// schemas.py, tables.py, core.py
#[test]
fn small_statements() {
    assert!(matches!(one("CREATE SCHEMA proj.s1"), Statement::CreateSchema { if_not_exists: false, .. }));
    assert!(matches!(one("DROP SCHEMA proj.s1"), Statement::DropSchema { if_exists: false, .. }));
    assert!(matches!(one("SHOW SCHEMAS IN proj"), Statement::ShowSchemas { project: Some(_) }));
    assert!(matches!(one("DESC SCHEMA proj.s1"), Statement::DescSchema { .. }));
    assert!(matches!(one("desc t"), Statement::Desc { extended: false, partition: None, .. }));
    assert!(matches!(one("show partitions t"), Statement::ShowPartitions { partition: None, .. }));
    assert!(matches!(one("DROP TABLE IF EXISTS proj.`t`"), Statement::DropTable(d) if d.if_exists && !d.view));
    assert!(matches!(one("DROP VIEW proj.`t`"), Statement::DropTable(d) if !d.if_exists && d.view));
    let drop = "DROP MATERIALIZED VIEW IF EXISTS proj.`t`";
    assert!(matches!(one(drop), Statement::DropTable(d) if d.if_exists && d.materialized));
}
