//! Functions and their resources by SQL: what one statement registers, the next ones show, and a text that runs again keeps.

use feitian_meta::ObjectName;
use feitian_warehouse::{NewResource, ResourceContent};
use futures::StreamExt;

use crate::sql::{Bench, OWNER};

async fn text(bench: &Bench, query: &str) -> String {
    let ended = bench.run(query, &[]).await;
    assert_eq!(ended.error, None, "{query}");
    String::from_utf8(ended.result_inline.unwrap_or_default()).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_names_the_resources_that_are_there() {
    let bench = Bench::open().await;
    let at = ObjectName { project: "demo".into(), schema_name: "default".into(), name: "my-lib.py".into() };
    let new = NewResource { at, kind: "py".into(), is_temp: false, comment: "why\tnot".into() };
    let bytes = futures::stream::once(async { Ok(bytes::Bytes::from_static(b"print()")) }).boxed();
    bench.warehouse.put_resource(OWNER, new, ResourceContent::Bytes(bytes), false).await.expect("a resource");
    text(&bench, "create function f as 'my-lib.F' using 'my-lib.py'").await;
    let shown = text(&bench, "desc function f").await;
    for (name, value) in [("Name", "f"), ("Owner", OWNER), ("Class", "my-lib.F"), ("Resources", "my-lib.py")] {
        assert!(shown.lines().any(|l| l.starts_with(name) && l.ends_with(value)), "{name}: {shown}");
    }
    // A comment cannot shift the columns of the list.
    let listed = text(&bench, "list resources").await;
    let row: Vec<&str> = listed.lines().nth(1).expect("a row").split('\t').collect();
    assert_eq!((row[0], row[1], row[3], row[5], row[6]), ("my-lib.py", OWNER, "why not", "py", "7"));
    assert!(text(&bench, "desc resource my-lib.py").await.contains("why"));
    text(&bench, "drop function f; drop resource my-lib.py").await;
    assert_eq!(text(&bench, "list resources").await.lines().count(), 1);
    bench.warehouse.shutdown().await;
}
