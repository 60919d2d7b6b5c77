//! Statements other than queries, in forms of the MaxCompute documentation and of tools; each case names its source.

use feitian_sql::{
    AlterOp, Assignment, Existing, Holder, Listed, MergeAction, MergeClause, PartitionOp, Place, Repair, RowChange,
    Security, SecurityObject, Statement, object_parts, parse_script,
};

use feitian_types::DataType;

use crate::{error, lacking, one};

// MaxCompute documentation, "Table operations" and "CREATE TABLE AS"; Druid's OdpsVisitorTest forms.
#[test]
fn create_table_forms() {
    let Statement::CreateTable(t) = one(
        "create table if not exists sale_detail(shop_name string default 'x' comment 'a' 'b', total_price double not null,
         n bigint default -1 not null, d date default DATE'2020-01-01', primary key (n) enable novalidate rely)
         comment 'T' partitioned by (sale_date string, region string)
         clustered by (shop_name) sorted by (total_price desc) into 1024 buckets
         stored as aliorc tblproperties(\"transactional\"=\"true\", \"write.bucket.num\"=16) lifecycle 100",
    ) else {
        panic!()
    };
    let defaults: Vec<_> = t.columns.iter().map(|c| c.default.as_deref()).collect();
    assert_eq!(defaults, [Some("'x'"), None, Some("-1"), Some("DATE'2020-01-01'")]);
    assert_eq!(t.columns.iter().map(|c| c.nullable).collect::<Vec<_>>(), [true, false, false, true]);
    assert_eq!((t.columns[0].comment.as_str(), t.stored_as.as_deref()), ("ab", Some("aliorc")));
    assert_eq!(t.properties[1], ("write.bucket.num".to_string(), "16".to_string()));
    let clustering = t.clustering.unwrap();
    assert_eq!((clustering.range, clustering.buckets), (false, Some(1024)));
    assert_eq!(clustering.sorted_by, [("total_price".to_string(), false)]);

    let Statement::CreateTable(t) = one("create table a like p.b stored as parquet lifecycle 7") else { panic!() };
    assert_eq!((object_parts(&t.like.unwrap()), t.lifecycle), (vec!["p".to_string(), "b".to_string()], Some(7)));
    let Statement::CreateTable(t) = one("CREATE TABLE c AS WITH x AS (SELECT 1) SELECT * FROM x") else { panic!() };
    assert!(t.as_query.unwrap().with.is_some());
    // A column may be called like a clause or a type.
    let Statement::CreateTable(t) = one(
        "create table 订单 (date date, comment string, partition bigint, `order` struct<a:int,`b c`:array<int>>, 时间 datetime)",
    ) else {
        panic!()
    };
    let names: Vec<_> = t.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["date", "comment", "partition", "order", "时间"]);
    assert_eq!(t.columns[3].ty.to_string(), "struct<a:int,`b c`:array<int>>");
}

#[test]
fn create_table_errors_name_the_place() {
    for (text, message) in [
        ("create table t (a foo)", "ODPS-0130151:[1,19] Illegal data type - unknown type 'foo'"),
        ("create table t (a array<strin>)", "ODPS-0130151:[1,25] Illegal data type - unknown type 'strin'"),
        // Documented text: "column repeated in creation: a".
        (
            "create table t (a int,\n A string)",
            "ODPS-0130071:[2,2] Semantic analysis exception - column repeated in creation: a",
        ),
        (
            "create table t (a int) partitioned by (a string)",
            "ODPS-0130071:[1,40] Semantic analysis exception - column repeated in creation: a",
        ),
        (
            "create table t (a int, primary key(b))",
            "ODPS-0130071:[1,36] Semantic analysis exception - primary key column b is not a column of the table",
        ),
        (
            "create table t (a int default b)",
            "ODPS-0130071:[1,31] Semantic analysis exception - the default value of a column must be a constant",
        ),
        (
            "create table t (a int) lifecycle 0",
            "ODPS-0130161:[1,34] Parse exception - invalid token '0', expected a whole number from 1 on",
        ),
        (
            "create table t",
            "ODPS-0130161:[1,15] Parse exception - invalid token '<EOF>', expected the columns, LIKE or AS",
        ),
        (
            "create table t (a int) comment 'x' comment 'y'",
            "ODPS-0130161:[1,36] Parse exception - the clause appears twice",
        ),
        (
            "create table t (a int comment 'x' comment 'y')",
            "ODPS-0130161:[1,35] Parse exception - COMMENT appears twice in the definition of a column",
        ),
        (
            "create table t (a int not null null)",
            "ODPS-0130161:[1,32] Parse exception - NULL appears twice in the definition of a column",
        ),
        (
            "create view v comment 'x' comment 'y' as select 1",
            "ODPS-0130161:[1,27] Parse exception - the clause appears twice",
        ),
        ("create table t (a int) foo", "ODPS-0130161:[1,24] Parse exception - invalid token 'foo'"),
        (
            "create tabel t (a int)",
            "ODPS-0130161:[1,8] Parse exception - invalid token 'tabel', expected TABLE, VIEW or SCHEMA",
        ),
        (
            "create table a.b.c.d (a int)",
            "ODPS-0130161:[1,14] Parse exception - a name has at most three parts: project.schema.table",
        ),
        (
            "create table t (select string)",
            "ODPS-0130161:[1,17] Parse exception - invalid token 'select', expected a name",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
    let seven = (0..7).map(|i| format!("p{i} string")).collect::<Vec<_>>().join(",");
    assert!(error(&format!("create table t (a int) partitioned by ({seven})")).contains("at most 6 partition columns"));
}

// MaxCompute documentation, "Column operations" and "Partition operations"; dbt-maxcompute macros.
#[test]
fn alter_forms() {
    let op = |text: &str| match one(text) {
        Statement::AlterTable(alter) => alter.op,
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(op("alter table t rename column a to b"), AlterOp::RenameColumn { old, new } if old == "a" && new == "b")
    );
    assert!(
        matches!(op("alter table t change a b string after c"), AlterOp::ChangeColumn { place: Place::After(c), comment: None, .. } if c == "c")
    );
    assert!(
        matches!(op("alter table t change column c comment 'x'"), AlterOp::SetColumnComment { comment, .. } if comment == "x")
    );
    assert!(matches!(op("alter table t change column c null"), AlterOp::DropNotNull { name } if name == "c"));
    assert!(
        matches!(op("alter table t add columns a int, b string"), AlterOp::AddColumns { columns, .. } if columns.len() == 2)
    );
    assert!(matches!(op("alter table t drop columns (a, b)"), AlterOp::DropColumns { names } if names == ["a", "b"]));
    assert!(matches!(op("alter table t drop column a"), AlterOp::DropColumns { names } if names == ["a"]));
    assert!(matches!(
        op("alter table t disable lifecycle"),
        AlterOp::EnableLifecycle { partition: None, enabled: false }
    ));
    assert!(matches!(
        op("alter table t partition(ds='1') enable lifecycle"),
        AlterOp::EnableLifecycle { partition: Some(_), enabled: true }
    ));
    assert!(matches!(op("alter table t unset tblproperties('a')"), AlterOp::UnsetProperties { keys } if keys == ["a"]));
    match op("alter table t add partition (ds=20240101, hh='05') partition (ds='x',hh=007)") {
        AlterOp::AddPartitions { if_not_exists: false, specs, locations } => {
            let shown: Vec<_> = specs.iter().map(ToString::to_string).collect();
            assert_eq!(shown, ["ds=20240101/hh=05", "ds=x/hh=7"]);
            assert_eq!(locations, [None, None]);
        }
        other => panic!("{other:?}"),
    }
    match op("alter table t add partition (ds='1') location 'oss://b/x/' partition (ds='2')") {
        AlterOp::AddPartitions { locations, .. } => {
            let places: Vec<_> = locations.iter().map(|l| l.as_ref().map(|(_, text)| text.as_str())).collect();
            assert_eq!(places, [Some("oss://b/x/"), None]);
        }
        other => panic!("{other:?}"),
    }
    match op("alter table t drop if exists partition (ds<'20240101', hh <> '1'), partition (ds like '2023%') purge") {
        AlterOp::DropPartitions { if_exists: true, specs, purge: true } => {
            let ops: Vec<Vec<_>> = specs.iter().map(|s| s.iter().map(|c| c.op).collect()).collect();
            assert_eq!(ops, [vec![PartitionOp::Lt, PartitionOp::NotEq], vec![PartitionOp::Like]]);
        }
        other => panic!("{other:?}"),
    }
    match op("alter table t merge if exists partition (ds<'3'), partition (ds='5') overwrite partition (ds='4') purge")
    {
        AlterOp::MergePartitions { if_exists: true, sources, to } => {
            assert_eq!((sources.len(), to.to_string().as_str()), (2, "ds=4"));
        }
        other => panic!("{other:?}"),
    }
    for (text, of_partition, compacts) in [
        ("alter table t merge smallfiles", false, false),
        ("alter table t partition (ds='1') merge smallfiles", true, false),
        ("alter table t compact minor", false, true),
        ("alter table t partition (ds='1') compact major", true, true),
    ] {
        let AlterOp::MergeFiles { partition, compact } = op(text) else { panic!("{text}") };
        assert_eq!((partition.is_some(), compact), (of_partition, compacts), "{text}");
    }
    assert!(matches!(op("alter table t add columns (a int) first"), AlterOp::AddColumns { place: Place::First, .. }));
    assert!(
        matches!(op("alter table t add column a int after b"), AlterOp::AddColumns { place: Place::After(b), .. } if b == "b")
    );
    assert!(
        matches!(op("alter table t replace columns (a int, b string)"), AlterOp::ReplaceColumns { columns } if columns.len() == 2)
    );
    let Statement::Truncate(t) = one("truncate table t partition (ds='1') columns (a, b)") else { panic!() };
    assert_eq!((t.partitions.len(), t.columns.len()), (1, 2));
    let Statement::AlterTable(view) = one("ALTER VIEW v AS SELECT 1;") else { panic!() };
    assert!(view.view && matches!(view.op, AlterOp::SetQuery { query_text, .. } if query_text == "SELECT 1"));
    let Statement::AlterTable(view) = one("alter view a.b rename to c") else { panic!() };
    assert!(view.view && matches!(view.op, AlterOp::RenameTo { .. }));

    for (text, message) in [
        (
            "alter table t add partition (ds)",
            "ODPS-0130191:[1,30] Invalid column or partition key - partition column ds needs a value here",
        ),
        (
            "alter table t add partition (ds='1', DS='2')",
            "ODPS-0130191:[1,38] Invalid column or partition key - partition column ds appears more than once",
        ),
        (
            "alter table t frobnicate",
            "ODPS-0130161:[1,15] Parse exception - invalid token 'frobnicate', expected what to change",
        ),
        (
            "alter table t set lifecycle -1",
            "ODPS-0130161:[1,29] Parse exception - invalid token '-', expected a whole number from 1 on",
        ),
        ("alter table t add columns (a int) x", "ODPS-0130161:[1,35] Parse exception - invalid token 'x'"),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

// MaxCompute documentation, "INSERT INTO, INSERT OVERWRITE", "VALUES"; dbt writes the columns before the query.
#[test]
fn insert_forms() {
    let insert = |text: &str| match one(text) {
        Statement::Insert(insert) => insert,
        other => panic!("{other:?}"),
    };
    let i = insert("insert overwrite table t partition (ds='1') if not exists select a from s");
    assert!(i.overwrite && i.if_not_exists && i.columns.is_empty());
    let i = insert("insert into p.s.t (c1,c2)( select 1, 2 )");
    assert_eq!((i.columns.len(), i.source.to_string().as_str()), (2, "(SELECT 1, 2)"));
    let i = insert("insert into t partition (ds, hh='1') (a, ds) values (1, 'x'), (2, concat('y', 'z'))");
    assert_eq!(i.source.to_string(), "VALUES (1, 'x'), (2, concat('y', 'z'))");
    let i = insert("insert into t (select * from a)");
    assert!(i.columns.is_empty());
    let i = insert("with a as (select 1 as x) insert overwrite table t with b as (select * from a) select x from b");
    assert_eq!(i.source.to_string(), "WITH a AS (SELECT 1 AS x), b AS (SELECT * FROM a) SELECT x FROM b");
    let i = insert("insert into table t partition (n=045, d=DATE'2020-01-01', m=-3) select 1");
    let values: Vec<_> = i.partition.unwrap().into_iter().map(|t| t.value.unwrap()).collect();
    assert_eq!(values, ["45", "2020-01-01", "-3"]);

    for (text, message) in [
        ("insert t select 1", "ODPS-0130161:[1,8] Parse exception - invalid token 't', expected INTO"),
        ("insert into t", "ODPS-0130161:[1,14] Parse exception - invalid token '<EOF>', expected SELECT"),
        (
            "insert into t (a, a) select 1, 2",
            "ODPS-0130071:[1,19] Semantic analysis exception - column a appears more than once in the list",
        ),
        (
            "insert into t partition (ds=@d) select 1",
            "ODPS-0121125:[1,29] Unsupported function or operation - a script variable (@name) is not supported yet",
        ),
        (
            "from s insert overwrite table a select x from t",
            "ODPS-0130161:[1,42] Parse exception - invalid token 'from'",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

// MaxCompute documentation, "UPDATE and DELETE", "MERGE INTO".
#[test]
fn statements_that_change_rows() {
    let dml = |text: &str| match one(text) {
        Statement::Dml(dml) => *dml,
        other => panic!("{other:?}"),
    };
    let shown = |set: &[Assignment]| {
        set.iter().map(|a| format!("{} = {}", a.column.name, a.value)).collect::<Vec<_>>().join(", ")
    };
    let d = dml(
        "update p.t as x set a = b + 1, x.b = 'y', (c, d) = (1, 2), (e, f) = (select k, v from s) from s where s.v = x.a",
    );
    assert_eq!((d.table.to_string().as_str(), d.alias.unwrap().value.as_str()), ("p.t", "x"));
    let RowChange::Update { set, from, selection } = d.change else { panic!() };
    assert_eq!(shown(&set), "a = b + 1, b = 'y', c = 1, d = 2, e = (SELECT k FROM s), f = (SELECT v FROM s)");
    assert_eq!((from.len(), selection.unwrap().to_string().as_str()), (1, "s.v = x.a"));
    assert!(matches!(dml("update t set t.a = 1").change, RowChange::Update { selection: None, .. }));

    let d = dml("with w as (select 1) delete from t partition (ds='1') where a in (select * from w)");
    assert!(d.with.is_some() && d.alias.is_none());
    let RowChange::Delete { partition, selection } = d.change else { panic!() };
    assert_eq!((partition[0].name.as_str(), selection.is_some()), ("ds", true));
    assert!(matches!(dml("delete from t").change, RowChange::Delete { selection: None, .. }));

    let d =
        dml("merge into t x using (select 1 as k) s on x.a = s.k when matched and s.k > 1 then update set x.b = s.k \
                 when matched then delete when not matched and s.k < 9 then insert (a, b) values (s.k, 2)");
    let RowChange::Merge { on, clauses, .. } = d.change else { panic!() };
    assert_eq!((on.to_string().as_str(), clauses.len()), ("x.a = s.k", 3));
    assert!(matches!(&clauses[0].action, MergeAction::Update(set) if shown(set) == "b = s.k"));
    assert!(matches!(clauses[1], MergeClause { condition: None, action: MergeAction::Delete, .. }));
    assert!(
        matches!(&clauses[2].action, MergeAction::Insert { columns, values } if columns.len() == 2 && values.len() == 2)
    );

    let semantic = |at: &str, words: &str| format!("ODPS-0130071:{at} Semantic analysis exception - {words}");
    let parse = |at: &str, words: &str| format!("ODPS-0130161:{at} Parse exception - {words}");
    for (text, message) in [
        ("update t a = 1", parse("[1,12]", "invalid token '=', expected SET")),
        ("update t set a = 1, a = 2", semantic("[1,21]", "column a is assigned more than once")),
        ("update t as x set t.a = 1", semantic("[1,19]", "column t.a cannot be resolved: SET is for columns of x")),
        ("update t set (a, b) = (1, 2, 3)", semantic("[1,23]", "SET names 2 columns and has 3 values for them")),
        ("merge into t using s on t.a = s.a", parse("[1,34]", "invalid token '<EOF>', expected WHEN")),
        (
            "merge into t using s on t.a = s.a when matched then insert values (1)",
            parse("[1,53]", "invalid token 'insert', expected UPDATE SET or DELETE"),
        ),
        (
            "merge into t using s on t.a = s.a when matched then delete when matched then update set a = 1",
            semantic("[1,60]", "no row comes to this WHEN: the one before it has no condition"),
        ),
        (
            "merge into t using s on t.a = s.a when matched and s.a = 1 then delete when matched then delete",
            semantic("[1,72]", "MERGE has more than one DELETE"),
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

// MaxCompute documentation, "Multi insert": one FROM, then a target and a SELECT each.
#[test]
fn one_from_feeds_several_inserts() {
    let text = "with w as (select 1 as x) from w join s on w.x = s.x insert overwrite table a partition (ds='1') select s.x where y > 1 \
                insert into b (k) select max(w.x) group by y limit 3";
    let Statement::MultiInsert(inserts) = one(text) else { panic!() };
    let shown: Vec<_> = inserts.iter().map(|i| (i.table.to_string(), i.overwrite, i.source.to_string())).collect();
    let from = "WITH w AS (SELECT 1 AS x) FROM w INNER JOIN s ON w.x = s.x SELECT";
    assert_eq!(shown[0], ("a".into(), true, format!("{from} s.x WHERE y > 1")));
    assert_eq!(shown[1], ("b".into(), false, format!("{from} max(w.x) GROUP BY y LIMIT 3")));
    assert_eq!(inserts[1].columns.len(), 1);
    assert!(matches!(one("from s select a union all select 2"), Statement::Query(_)));
}

// MaxCompute documentation, "SHOW", "DESC", "EXPLAIN"; odpscmd.
#[test]
fn commands() {
    assert!(matches!(one("show tables"), Statement::ShowTables { scope: None, like: None, listed: Listed::All }));
    assert!(
        matches!(one("SHOW TABLES IN p.s LIKE 'pre*'"), Statement::ShowTables { scope: Some(_), like: Some(l), .. } if l == "pre*")
    );
    assert!(matches!(one("show views"), Statement::ShowTables { listed: Listed::Views, .. }));
    assert!(matches!(one("show partitions t partition(ds='1')"), Statement::ShowPartitions { partition: Some(_), .. }));
    assert!(matches!(one("show create table p.t"), Statement::ShowCreateTable { .. }));
    assert!(matches!(
        one("describe extended t partition(ds='1', hh=2)"),
        Statement::Desc { extended: true, partition: Some(_), .. }
    ));
    assert!(matches!(one("desc extended"), Statement::Desc { extended: false, .. }));
    assert!(matches!(one("use p"), Statement::Use { schema: false, .. }));
    assert!(matches!(one("use schema s"), Statement::Use { schema: true, .. }));
    let Statement::Explain { statement, extended: false } = one("explain insert into t select 1") else { panic!() };
    assert!(matches!(*statement, Statement::Insert(_)));
    assert!(matches!(one("truncate table t"), Statement::Truncate(_)));
    assert!(matches!(one("show history for table p.t"), Statement::ShowHistory { .. }));
    let Statement::RestoreTable(r) = one("restore table t to lsn '0000000000000012' as u") else { panic!() };
    assert_eq!((r.version, r.to.is_some()), (12, true));
    let Statement::CloneTable(c) = one("clone table a partition (ds='1'), partition (ds='2') to p.b if exists ignore")
    else {
        panic!()
    };
    assert_eq!((c.partitions.len(), c.existing), (2, Existing::Ignore));
    assert!(
        matches!(one("create function f as 'a.B' using 'x.py,y.jar'"), Statement::CreateFunction { class, resources, .. } if class == "a.B" && resources == "x.py,y.jar")
    );
    assert!(matches!(one("drop function if exists p.f"), Statement::DropFunction { if_exists: true, .. }));
    assert!(
        matches!(one("drop resource my-lib-1.0.jar;"), Statement::DropResource { if_exists: false, name } if name == "my-lib-1.0.jar")
    );
    assert!(matches!(one("desc resource a.py"), Statement::DescResource { name } if name == "a.py"));
    assert!(matches!(one("desc function f"), Statement::DescFunction { .. }));
    assert!(matches!(one("show functions like 'a*'"), Statement::ShowFunctions { scope: None, like: Some(_) }));
    assert!(matches!(one("list functions"), Statement::ShowFunctions { like: None, .. }));
    assert!(matches!(one("list resources"), Statement::ListResources));
    assert!(matches!(one("clone table a to b"), Statement::CloneTable(c) if c.existing == Existing::Refuse));
    assert!(matches!(one("drop table t purge"), Statement::DropTable(d) if d.purge));
}

// MaxCompute's documentation, CREATE SQL FUNCTION and FUNCTION.
#[test]
fn a_sql_function_is_one_expression_of_its_parameters() {
    let function = |text: &str| match one(text) {
        Statement::CreateSqlFunction(create) => *create,
        other => panic!("{text}: {other:?}"),
    };
    let f = function(
        "create or replace sql function if not exists p.f(@a bigint, @B string = 'x') returns @r string as concat(@a, @b)",
    );
    assert!(f.or_replace && f.if_not_exists && !f.temporary);
    assert_eq!(f.function.body.to_string(), "concat((`@`.`a`), (`@`.`b`))");
    assert_eq!(f.function.returns, Some(DataType::String));
    assert_eq!(f.function.parameters.iter().filter(|p| p.default.is_some()).count(), 1);
    // Names between BEGIN and END stand for what was assigned to them before.
    let text = "function f(@a bigint) returns @r bigint as begin \
                @t := case when @a > 1 then @a end; @t := @t * 2; @r := @t + 1; end";
    let f = function(text);
    assert!(f.temporary);
    assert_eq!(f.text, text);
    let body = "((CASE WHEN (`@`.`a`) > 1 THEN (`@`.`a`) END))";
    assert_eq!(f.function.body.to_string().replace(' ', ""), format!("((({body}*2))+1)").replace(' ', ""));
    // What follows END is another statement, with or without a semicolon between.
    let script =
        parse_script("function f() as begin @f := 1; end select f(); function g() as f(); select g()").unwrap();
    assert_eq!(script.statements.len(), 4);
    for (text, error) in [
        ("function f(@a bigint) as @b", "variable @b cannot be resolved"),
        ("function f(@a bigint, @A int) as 1", "parameter @a is repeated"),
        ("function f(@a function (bigint) returns bigint) as @a(1)", "a parameter of type FUNCTION is not supported"),
        ("function f(@a any) as @a", "a parameter of type ANY is not supported"),
        ("function f(@a bigint) as select @a", "a query in a SQL function is not supported"),
        (
            "function f(@a bigint) as 1 + (select max(b) from t where b = @a)",
            "a query in a SQL function is not supported",
        ),
        ("function f(@a bigint) as begin @b := @a; end", "variable @f cannot be resolved"),
        ("function f(@a bigint) as begin insert into t values (1); end", "a statement other than @name := expression"),
    ] {
        assert!(parse_script(text).unwrap_err().to_string().contains(error), "{text}");
    }
    // Each use of a name reads its value again, and doubling it some times more than a text may have ends.
    let doubled = "@x := @x + @x; ".repeat(40);
    let e = parse_script(&format!("function f(@x bigint) as begin {doubled} @f := @x; end")).unwrap_err();
    assert!(e.to_string().contains("more than 50000 tokens"), "{e}");
}

// MaxCompute documentation, "Create an OSS external table", "LOAD", "UNLOAD".
#[test]
fn files_of_buckets() {
    let Statement::CreateExternal(t) =
        one("create external table if not exists e (a bigint comment 'x', b string) comment 'c'
         stored by 'com.aliyun.odps.CsvStorageHandler'
         with serdeproperties ('odps.text.option.delimiter'='|') location 'oss://b/p/' tblproperties ('k'='v')")
    else {
        panic!()
    };
    assert!(t.if_not_exists && t.columns.len() == 2 && t.comment.as_deref() == Some("c"));
    assert_eq!(t.files.handler.as_deref(), Some("com.aliyun.odps.CsvStorageHandler"));
    assert_eq!(t.files.options, [("odps.text.option.delimiter".to_string(), "|".to_string())]);
    assert_eq!((t.files.location.as_str(), t.files.stored_as.as_deref()), ("oss://b/p/", None));
    let Statement::Load(l) =
        one("load overwrite table t partition (ds='1') from location 'oss://b/p/' stored as parquet")
    else {
        panic!()
    };
    assert!(l.overwrite && l.partition.is_some() && l.files.stored_as.as_deref() == Some("parquet"));
    let into = "load into table t from location 'oss://b/p/' stored as csv";
    assert!(matches!(one(into), Statement::Load(l) if !l.overwrite));
    for text in ["t", "t partition (ds='1', hh='2')", "(select a from t limit 3)"] {
        let text = format!("unload from {text} into location 'oss://b/p/' stored as textfile");
        assert!(matches!(one(&text), Statement::Unload(_)), "{text}");
    }
    let Statement::CreateExternal(t) = one("create external table e (a bigint)
         partitioned by (ds string, hh bigint) stored as csv location 'oss://b/'")
    else {
        panic!()
    };
    let names: Vec<_> = t.partition_columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!((names, t.columns.len()), (vec!["ds", "hh"], 1));
    for (text, drops) in [
        ("msck repair table t", false),
        ("msck table t add partitions", false),
        ("msck repair table t drop partitions", true),
    ] {
        assert!(matches!(one(text), Statement::Repair(Repair { drop, .. }) if drop == drops), "{text}");
    }
    assert!(matches!(one("show external tables like 'a*'"), Statement::ShowTables { listed: Listed::External, .. }));
    assert!(error("unload from t into stored as parquet").contains("LOCATION"));
    assert!(error("load into table t from location 'oss://a/' location 'oss://b/'").contains("twice"));
}

// MaxCompute documentation, "Materialized view operations"; the order of clauses is also dbt's.
#[test]
fn materialized_views() {
    let Statement::CreateMaterialized(v) = one(
        "create materialized view if not exists p.mv lifecycle 7 build deferred (a comment 'x', ds) disable rewrite
         comment 'c' partitioned on (ds) clustered by (a) into 8 buckets tblproperties ('k'='v') as select a, ds from t",
    ) else {
        panic!()
    };
    assert!(v.if_not_exists && v.deferred && !v.rewrite && v.clustering.is_some());
    assert_eq!((v.lifecycle, v.comment.as_deref(), v.partitioned_on), (Some(7), Some("c"), vec!["ds".to_string()]));
    assert_eq!(v.columns, [("a".to_string(), Some("x".to_string())), ("ds".to_string(), None)]);
    assert_eq!(v.query_text, "select a, ds from t");
    let Statement::AlterTable(a) = one("alter materialized view mv rebuild partition (ds='1')") else { panic!() };
    assert!(a.materialized && matches!(&a.op, AlterOp::Rebuild { partition: Some(_) }));
    for (text, on) in [("enable", true), ("disable", false)] {
        let Statement::AlterTable(a) = one(&format!("alter materialized view mv {text} rewrite")) else { panic!() };
        assert!(matches!(a.op, AlterOp::SetRewrite { enabled } if enabled == on));
    }
    let Statement::AlterTable(a) = one("alter materialized view mv set lifecycle 3") else { panic!() };
    assert!(a.materialized && matches!(a.op, AlterOp::SetLifecycle { days: 3 }));
    let Statement::DropTable(d) = one("drop materialized view if exists mv") else { panic!() };
    assert!(d.materialized && d.if_exists && !d.view);
    assert!(matches!(one("show materialized views"), Statement::ShowTables { listed: Listed::Materialized, .. }));
}

// Statements of MaxCompute's documentation that are compiled elsewhere or not yet.
#[test]
fn statements_that_the_engine_lacks_are_named() {
    for (text, what) in [
        ("restore table t partition (ds='1') to lsn '3'", "RESTORE"),
        ("analyze table t delete statistics for columns (a)", "ANALYZE"),
        ("analyze table t compute statistics for columns with histogram", "ANALYZE"),
        ("show statistic t", "SHOW STATISTIC"),
        ("show statistic_list", "SHOW STATISTIC_LIST"),
        ("load data inpath 'x' into table t", "LOAD DATA"),
        (
            "create external table t (a bigint) stored as csv location 'oss://x/' lifecycle 3",
            "LIFECYCLE of an external table",
        ),
        ("grant select on table t to user ALIYUN$x@y.z privilegeproperties ('conditions'='true')", "GRANT"),
        ("grant select(a) on table t to user ALIYUN$x", "GRANT"),
        ("grant read on function f to user ALIYUN$x", "GRANT"),
        ("show grants on resource r", "SHOW GRANTS"),
        ("add tenant user ALIYUN$x", "ADD"),
        ("create function f as 'a.B' using #CODE ('lang'='PYTHON') x #END CODE", "CREATE FUNCTION"),
        ("alter materialized view v rebuild partition (ds='1'), partition (ds='2')", "REBUILD of several partitions"),
        ("create or replace materialized view v as select 1", "CREATE MATERIALIZED"),
        ("alter table t exchange partition (ds='1') with table u", "ALTER TABLE … EXCHANGE PARTITION"),
        ("insert overwrite directory '/x' select 1", "INSERT OVERWRITE DIRECTORY"),
        ("show history for table t partition (ds='1')", "SHOW HISTORY"),
        ("setproject a.b=c", "SETPROJECT"),
        ("create table t (a int) location 'oss://x'", "LOCATION (an external table)"),
        ("create view v(@a table(x bigint)) as select * from @a", "a view with parameters"),
    ] {
        assert_eq!(lacking(text), what, "{text}");
    }
}

// MaxCompute documentation, "SQL in script mode", IF; OdpsParser.g4 of the Java SDK, ifStatement and loopStatement.
#[test]
fn blocks_are_cut_into_the_statements_in_them() {
    let script = parse_script(
        "@d := '1'; @row table (id string);
         if (cast(@d as bigint) % 2 == 0) begin @row := select id from a; insert into x select 1; end
         else if @d = '1' insert into y select id from @row;
         else insert into z select case when 1 = 1 then 2 else 3 end;
         loop @i from 1 to 3 begin if (@i = 2) insert into w select @i; end select 5",
    );
    // Nothing is assigned to the variable in the branch that is read after the first.
    assert!(script.is_ok(), "{script:?}");
    let script = script.unwrap();
    let texts: Vec<_> = script.statements.iter().map(|s| s.text.as_str()).collect();
    let wanted = [
        "insert into x select 1",
        "insert into y select id from @row",
        "insert into z select case when 1 = 1 then 2 else 3 end",
        "insert into w select @i",
        "select 5",
    ];
    assert_eq!(texts, wanted);
    assert_eq!(script.statements.iter().map(|s| s.place).collect::<Vec<_>>(), [2, 2, 2, 3, 4]);
    assert_eq!(script.statements.iter().map(|s| s.in_block).collect::<Vec<_>>(), [true, true, true, true, false]);
    assert!(script.computes && script.control.is_some());
    assert!(!parse_script("@d := '1'; select @d").unwrap().computes);
    assert!(parse_script("@d := f(1); select @d").unwrap().computes);
    for (text, error) in [
        ("begin select 1", "expected END"),
        ("if begin select 1; end", "invalid token 'end'"),
        ("if (1 = 1)", "expected a statement"),
        ("loop @i from 1 select 1", "expected TO"),
        ("@i bigint; select @i", "variable @i has no value"),
        ("@i := 1; @i", "expected ':='"),
        ("@t table (a bigint, A string)", "column a of a variable is repeated"),
        ("@t table (a bigint); @t := 1", "variable @t holds a table"),
        ("@t table (a bigint); select * from @t", "variable @t has no rows"),
    ] {
        let e = parse_script(text).unwrap_err().to_string();
        assert!(e.contains(error), "{text}: {e}");
    }
    let deep = "begin ".repeat(100_000);
    assert!(parse_script(&deep).unwrap_err().to_string().contains("nested deeper than 50"));
}

#[test]
fn scripts_keep_their_settings_texts_and_places() {
    let script = parse_script(
        "SET odps.sql.allow.fullscan=true;\nset odps.sql.timezone=Etc/GMT;\n-- c\ncreate table t (a int);\n  set x.y=1; select 1 ;",
    )
    .unwrap();
    let settings: Vec<_> = script.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(settings, [("odps.sql.allow.fullscan", "true"), ("odps.sql.timezone", "Etc/GMT")]);
    let texts: Vec<_> = script.statements.iter().map(|s| (s.text.as_str(), s.position.to_string())).collect();
    assert_eq!(
        texts,
        [
            ("create table t (a int)", "[4,1]".to_string()),
            ("set x.y=1", "[5,3]".to_string()),
            ("select 1", "[5,14]".to_string())
        ]
    );
    assert!(matches!(&script.statements[1].statement, Statement::Set { key, value } if key == "x.y" && value == "1"));
    assert_eq!(parse_script(" ; -- nothing\n;").unwrap().statements, []);
    assert_eq!(error("select 1;\n WRONG x"), "ODPS-0130161:[2,2] Parse exception - invalid token 'WRONG'");
    assert_eq!(
        error("select 1 from t where;"),
        "ODPS-0130161:[1,22] Parse exception - invalid token '<EOF>', expected an expression"
    );
}

// Forms: MaxCompute documentation, "User and permission management"; names of accounts as it writes them.
#[test]
fn rights_name_accounts_roles_and_objects_as_they_were_written() {
    let security = |text: &str| match one(text) {
        Statement::Security(statement) => *statement,
        other => panic!("{text}: {other:?}"),
    };
    let user = |name: &str| Holder::User(name.to_string());
    assert_eq!(security("add user ALIYUN$Anna@example.com;"), Security::AddUser("ALIYUN$Anna@example.com".into()));
    assert_eq!(security("remove user RAM$corp:anna"), Security::RemoveUser("RAM$corp:anna".into()));
    assert_eq!(security("delete role `r`"), Security::DropRole("r".into()));
    let role = |role: &str, user: &str| Security::GrantRole { role: role.into(), user: user.into() };
    assert_eq!(security("grant reader to ALIYUN$a"), role("reader", "ALIYUN$a"));
    assert_eq!(security("GRANT ROLE reader TO USER ALIYUN$a"), role("reader", "ALIYUN$a"));
    let Security::Grant { privileges, on, holder } = security("grant Select, describe on table p.t to USER a$b") else {
        panic!()
    };
    assert_eq!((privileges, holder), (vec!["Select".to_string(), "describe".to_string()], user("a$b")));
    assert!(matches!(on, SecurityObject::Table(name) if name.to_string() == "p.t"));
    let Security::Revoke { on, holder, .. } = security("revoke all on project from role r") else { panic!() };
    assert_eq!((on, holder), (SecurityObject::Project(None), Holder::Role("r".into())));
    let Security::ShowGrants { holder: None, on: Some(SecurityObject::Table(name)) } = security("show grants on p.s.t")
    else {
        panic!()
    };
    assert_eq!(name.to_string(), "p.s.t");
    assert!(matches!(security("show grants"), Security::ShowGrants { holder: None, on: None }));
    assert!(matches!(security("show acl for t on type table"), Security::ShowGrants { on: Some(_), .. }));
    assert!(matches!(one("desc role"), Statement::Desc { .. }), "a table may have this name");
    assert_eq!(security("get policy;"), Security::GetPolicy { role: None });
    assert_eq!(security("GET POLICY ON ROLE r"), Security::GetPolicy { role: Some("r".into()) });
    let switch = |on: bool| Security::SetSwitch { name: "labelsecurity".into(), on };
    assert_eq!(
        (security("set LabelSecurity=true;"), security("SET labelsecurity = FALSE")),
        (switch(true), switch(false))
    );
    assert_eq!(security("show SecurityConfiguration"), Security::ShowConfiguration);
    assert!(matches!(one("set projectprotection=true with exception p.json"), Statement::Unsupported { .. }));
    assert!(matches!(one("put policy p.json on role r"), Statement::Unsupported { .. }));
    assert_eq!(error("set labelsecurity=1"), "ODPS-0130161:[1,19] Parse exception - invalid token '1', expected FALSE");
    assert_eq!(
        error("grant"),
        "ODPS-0130161:[1,6] Parse exception - invalid token '<EOF>', expected a privilege or a role"
    );
}

// Forms: MaxCompute documentation, "SET LABEL", "GRANT LABEL", "REVOKE LABEL".
#[test]
fn labels_are_numbers_from_0_to_9_of_holders_tables_and_columns() {
    let security = |text: &str| match one(text) {
        Statement::Security(statement) => *statement,
        other => panic!("{text}: {other:?}"),
    };
    let user = || Holder::User("ALIYUN$a".to_string());
    assert_eq!(security("set label 3 to user ALIYUN$a"), Security::LabelHolder { level: 3, holder: user() });
    let role = Holder::Role("r".to_string());
    assert_eq!(security("SET LABEL 0 TO ROLE r;"), Security::LabelHolder { level: 0, holder: role.clone() });
    let Security::LabelTable { level: 9, table, columns } = security("set label 9 to table p.t(A, b)") else {
        panic!()
    };
    assert_eq!((table.to_string(), columns), ("p.t".to_string(), vec!["a".to_string(), "b".to_string()]));
    assert!(matches!(security("set label 1 to table t"), Security::LabelTable { columns, .. } if columns.is_empty()));
    let Security::GrantLabel { level, columns, holder, days, .. } =
        security("grant Label 4 on table t(c) to USER ALIYUN$a with exp 5")
    else {
        panic!()
    };
    assert_eq!((level, columns.len(), holder, days), (Some(4), 1, user(), Some(5)));
    let Security::GrantLabel { level, columns, holder, days, .. } = security("revoke label on table t from role r")
    else {
        panic!()
    };
    assert_eq!((level, columns.len(), holder, days), (None, 0, role, None));
    let Security::ShowLabelGrants { level: Some(2), table: Some(_), holder: Some(_) } =
        security("show label 2 grants on table t for user ALIYUN$a")
    else {
        panic!()
    };
    assert_eq!(security("clear expired grants"), Security::ClearExpiredGrants);
    // A role may have this name.
    let label = Security::GrantRole { role: "label".into(), user: "ALIYUN$a".into() };
    assert_eq!(security("grant label to ALIYUN$a"), label);
    for wrong in ["set label 10 to user a", "set label x to user a", "grant label on table t to user a"] {
        assert!(error(wrong).contains("expected a label from 0 to 9"), "{wrong}: {}", error(wrong));
    }
}

// Forms: MaxCompute documentation, "ANALYZE".
#[test]
fn statistics_are_of_all_columns_or_of_those_that_are_named() {
    let named = |text: &str| match one(text) {
        Statement::Statistic { show, partition, columns, .. } => (show, partition.is_some(), columns.len()),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(named("analyze table t compute statistics"), (false, false, 0));
    assert_eq!(named("analyze table p.t partition (ds='1') compute statistics for columns (a, b);"), (false, true, 2));
    assert_eq!(named("analyze table t compute statistics for columns"), (false, false, 0));
    assert_eq!(named("show statistic t columns"), (true, false, 0));
    assert_eq!(named("SHOW STATISTIC t PARTITION (ds='1') COLUMNS (a)"), (true, true, 1));
}

#[test]
fn jobs_are_named_by_their_ids_and_days() {
    let id = "20240101000000000g2abcdefghjk";
    assert_eq!(one(&format!("kill {id}")), Statement::KillJob { id: id.into() });
    assert_eq!(one(&format!("status {id};")), Statement::JobStatus { id: id.into() });
    assert_eq!(one(&format!("desc instance {id}")), Statement::DescribeJob { id: id.into() });
    let jobs = |from: Option<&str>, to: Option<&str>, limit| Statement::ShowJobs {
        from: from.map(str::to_string),
        to: to.map(str::to_string),
        limit,
    };
    assert_eq!(one("show p"), jobs(None, None, None));
    assert_eq!(one("SHOW PROC 7"), jobs(None, None, Some(7)));
    let text = "show instances from 2024-01-01 to '2024-01-31' 100";
    assert_eq!(one(text), jobs(Some("2024-01-01"), Some("2024-01-31"), Some(100)));
    assert_eq!(one("set"), Statement::ShowFlags { project: false });
    assert_eq!(one("setproject"), Statement::ShowFlags { project: true });
    assert!(error("show p from today").starts_with("ODPS-0130161:[1,13]"));
    assert!(error("kill").starts_with("ODPS-0130161:[1,5]"));
}
