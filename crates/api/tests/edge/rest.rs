//! Documents over REST, and the shape of errors.

use feitian_api::warehouse::Warehouse as _;
use serde_json::{Value, json};

use crate::client::{Credentials, between};
use crate::jobs::submit;
use crate::tunnel::{ROWS, filled, hex, read};
use crate::world::World;

#[tokio::test]
async fn a_project_has_the_headers_and_properties_that_clients_read() {
    let world = World::new().await;
    let client = world.demo();
    let reply = client.get("/api/projects/p?curr_project=p").await.ok();
    assert_eq!(reply.header("x-odps-owner"), "ALIYUN$demo");
    // 1704067200 seconds after 1970 began: 2024-01-01 00:00 UTC.
    assert_eq!(reply.header("x-odps-creation-time"), "Mon, 01 Jan 2024 00:00:00 GMT");
    assert_eq!(reply.header("last-modified"), "Mon, 01 Jan 2024 00:00:00 GMT");
    let text = reply.text();
    assert!(text.contains("<Name>odps.sql.type.system.odps2</Name><Value>true</Value>"), "{text}");
    assert!(!text.contains("<ExtendedProperties>"));
    assert!(client.get("/api/projects/p?extended").await.ok().text().contains("<ExtendedProperties><Property>"));
    let list = client.get("/api/projects?expectmarker=true").await.ok().text();
    assert!(list.contains("<Name>p</Name>") && !list.contains("<Name>q</Name>"), "{list}");
    client.get("/api/projects?group=g").await.refused(405, "MethodNotAllowed");
    client.get("/api/projects/missing").await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn the_service_answers_who_it_is_under_the_name_it_was_called_by() {
    let world = World::new().await;
    let client = world.demo();
    assert_eq!(client.get("/api/logview/host").await.ok().text(), "http://feitian.test:7700");
    assert_eq!(client.get("/api/projects/p/tunnel?service").await.ok().text(), "feitian.test:7700");
    let tenant = client.get("/api/tenants").await.ok().json();
    assert_eq!(tenant["Tenant"]["Parameters"]["odps.namespace.schema"], "false");
    assert!(!tenant["Tenant"]["Name"].as_str().unwrap().is_empty());
    client.put("/api/projects/p/logs", "{\"ODPS.execute_sql\":1}").await.ok();
    client.get("/api/webconsole/host").await.refused(405, "MethodNotAllowed");
    let quotas = client.get("/api/quotas").await.ok().text();
    assert!(quotas.contains("<Nickname>os_default</Nickname>"));
    client.get("/api/quotas/os_default?project=p").await.ok();
    client.get("/api/quotas/other").await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn tables_are_listed_by_name_in_pages() {
    let world = World::new().await;
    let client = world.demo();
    let first = client.get("/api/projects/p/tables?expectmarker=true&maxitems=1").await.ok().text();
    assert!(first.contains("<Name>pt</Name>") && !first.contains("<Name>t</Name>"), "{first}");
    assert!(!first.contains("<Comment>") && !first.contains("<Schema"), "plain lists show names only");
    assert_eq!(between(&first, "<Marker>", "</Marker>"), "pt");
    let second = client.get("/api/projects/p/tables?maxitems=1&marker=pt").await.ok().text();
    assert!(second.contains("<Name>t</Name>") && second.contains("<Marker/>"), "{second}");
    client.get("/api/projects/p/tables?type=NOTHING").await.refused(400, "InvalidParameter");
}

#[tokio::test]
async fn a_table_carries_its_schema_as_json_in_cdata() {
    let world = World::new().await;
    let client = world.demo();
    let text = client.get("/api/projects/p/tables/PT?extended&curr_project=p").await.ok().text();
    let from = text.find("<![CDATA[").unwrap() + 9;
    let json = text[from..text.find("</Schema>").unwrap()].trim_end_matches("]]>").replace("]]]]><![CDATA[>", "]]>");
    let schema: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(schema["columns"][1], json!({"name":"n","type":"bigint","comment":"","label":"","isNullable":true}));
    assert_eq!(schema["partitionKeys"][0]["name"], "ds");
    assert_eq!((&schema["PhysicalSize"], &schema["FileNum"]), (&json!(2048), &json!(1)));
    assert_eq!(schema["lastModifiedTime"], json!(1_704_067_200.123));
    assert_eq!((&schema["lifecycle"], &schema["tableLabel"]), (&json!(-1), &json!("")));
    let reserved: Value = serde_json::from_str(schema["Reserved"].as_str().unwrap()).unwrap();
    assert_eq!(reserved["schema_version"], "1");
    assert!(!text.contains("LastModifiedTime"));
    let plain = client.get("/api/projects/p/tables/pt").await.ok().text();
    assert!(!plain.contains("PhysicalSize"));
    client.get("/api/projects/p/tables/missing").await.refused(404, "NoSuchTable");
}

#[tokio::test]
async fn partitions_are_listed_by_prefix_and_shown_by_name() {
    let world = World::new().await;
    let client = world.demo();
    let list = client.get("/api/projects/p/tables/pt?partitions&expectmarker=true").await.ok().text();
    assert!(list.contains("<Column Name=\"ds\" Value=\"20240101\"/>"), "{list}");
    assert!(list.contains("<CreationTime>1704067200</CreationTime>"));
    let empty = client.get("/api/projects/p/tables/pt?partitions&partition=ds%3D'none'&reverse").await.ok().text();
    assert!(!empty.contains("<Partition>"));
    let flat = client.get("/api/projects/p/tables/t?partitions").await.ok().text();
    assert!(!flat.contains("<Partition>"));
    let one = client.get("/api/projects/p/tables/pt?partition=ds%3D'20240101'&extended").await.ok().text();
    let schema: Value = serde_json::from_str(between(&one, "<![CDATA[", "]]>")).unwrap();
    assert_eq!(schema["PhysicalSize"], 2048);
    // What is not extended has a document of its own, which PyODPS asks for by itself.
    let one = client.get("/api/projects/p/tables/pt?partition=ds%3D'20240101'").await.ok().text();
    let schema: Value = serde_json::from_str(between(&one, "<![CDATA[", "]]>")).unwrap();
    assert_eq!(schema["partitionRecordNum"], 12);
    client.get("/api/projects/p/tables/pt?partition=ds%3D'x'").await.refused(404, "NoSuchPartition");
    client.get("/api/projects/p/tables/pt?partition=ds").await.refused(400, "InvalidPartitionSpec");
    client.get("/api/projects/p/tables/pt?partitions&partition=hh%3D'1'").await.refused(400, "InvalidPartitionSpec");
    client.get("/api/projects/p/tables/missing?partitions").await.refused(404, "NoSuchTable");
}

#[tokio::test]
async fn security_statements_that_are_known_are_answered_in_json() {
    let world = World::new().await;
    let client = world.demo();
    let ask = |query: &str| {
        format!(
            "<?xml version=\"1.0\"?><Authorization><Query>{query}</Query>\
             <ResponseInJsonFormat>true</ResponseInJsonFormat></Authorization>"
        )
    };
    let result = |text: &str| -> Value {
        let text = text.replace("&quot;", "\"");
        serde_json::from_str(between(&text, "<Result>", "</Result>")).unwrap()
    };
    let target = "/api/projects/p/authorization";
    let answer = client.post(target, ask("whoami")).await.ok();
    assert_eq!(answer.status.as_u16(), 200, "any other status would make clients poll");
    assert_eq!(result(&answer.text()), json!({"ID": "demo", "DisplayName": "ALIYUN$demo"}));
    // Clients read the result as JSON, whatever it is: odps/models/project.py, run_security_query.
    assert_eq!(result(&client.post(target, ask("create role r")).await.ok().text()), json!("done \"it\""));
    client.post(target, ask("pai")).await.refused(405, "MethodNotAllowed");
    let schemas = ask("list users").replace(
        "</ResponseInJsonFormat>",
        "</ResponseInJsonFormat><Settings>{\"odps.namespace.schema\":\"true\",\"odps.default.schema\":\"S\"}</Settings>",
    );
    client.post(target, schemas).await.ok();
    assert_eq!(
        world.fake.calls(),
        [
            "security p ALIYUN$demo key default false whoami",
            "security p ALIYUN$demo key default false create role r",
            "security p ALIYUN$demo key default false pai",
            "security p ALIYUN$demo key s true list users",
        ]
    );
    client.post(target, "<Authorization/>").await.refused(400, "InvalidParameter");
    let users = client.get("/api/projects/p/users").await.ok().text();
    assert!(users.contains("<DisplayName>ALIYUN$demo</DisplayName>"));
    client.get("/api/projects/p/users/ALIYUN%24demo?type=displayname").await.ok();
    client.get("/api/projects/p/users/ALIYUN%24other?type=displayname").await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn errors_are_xml_on_rest_and_json_elsewhere_with_a_request_id() {
    let world = World::new().await;
    let client = world.demo();
    let xml = client.get("/api/projects/p/tables/missing").await;
    assert!(xml.header("content-type").starts_with("application/xml"));
    // PyODPS odps/errors.py drops the document unless it has these four.
    let text = xml.text();
    assert_eq!(between(&text, "<RequestId>", "</RequestId>"), xml.header("x-odps-request-id"));
    assert_eq!(between(&text, "<Code>", "</Code>"), "NoSuchTable");
    assert!(!between(&text, "<HostId>", "</HostId>").is_empty() && text.contains("<Message>"));
    for target in ["/projects/p/tables/t?downloadid=x", "/admin/v1/accounts/x"] {
        let reply = client.get(target).await;
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.json()["RequestId"], reply.header("x-odps-request-id"));
        assert!(!reply.json()["Message"].as_str().unwrap().is_empty());
    }
    let fine = client.get("/api/projects/p").await;
    assert_ne!(fine.header("x-odps-request-id"), "");
    assert_ne!(fine.header("x-odps-request-id"), xml.header("x-odps-request-id"));
}

#[tokio::test]
async fn health_and_metrics_are_open_to_everyone() {
    let world = World::new().await;
    let nobody = world.with_credentials(Credentials::Nothing);
    assert_eq!(nobody.get("/healthz").await.ok().text(), "ok\n");
    nobody.get("/readyz").await.ok();
    world.demo().get("/api/projects/p").await.ok();
    world.demo().get("/api/projects/missing").await;
    // One job runs and two wait.
    for query in ["sleep", "queue", "queue"] {
        let id = submit(&world.demo(), query).await;
        let instance = world.fake.instance("p", &id).await.unwrap();
        world.state.meta.create_instance(&instance).await.unwrap();
    }
    // One block goes up, and the same rows come down, neither compressed.
    let download = filled(&world.demo()).await;
    let down = read(&world.demo(), &download, "rowrange=(0,9)", &[]).await.ok();
    assert_eq!(down.body, hex(ROWS));
    let bytes = hex(ROWS).len();
    let metrics = nobody.get("/metrics").await.ok().text();
    for line in [
        "feitian_http_requests_total{route=\"GetProject\",status=\"200\"} 1",
        "feitian_http_requests_total{route=\"GetProject\",status=\"404\"} 1",
        "feitian_http_request_seconds_count{route=\"GetProject\"} 2",
        "feitian_instances_running 1",
        "feitian_instances_waiting 2",
        &format!("feitian_tunnel_upload_bytes_total {bytes}"),
        &format!("feitian_tunnel_download_bytes_total {bytes}"),
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is missing in {metrics}");
    }
    world.tasks.stop_token().cancel();
    assert_eq!(nobody.get("/readyz").await.status.as_u16(), 503);
}

#[test]
fn the_compatibility_page_lists_every_operation() {
    let page = feitian_api::compat_markdown(&[]);
    assert!(page.contains("| GetTable | `GET /api/projects/{project}/tables/{table}` | done |"), "{page}");
    assert!(page.contains("| CreateUpsert | `POST /projects/{project}/tables/{table}/upserts` | partial |"));
    for (_, op) in feitian_api::operations::all() {
        assert!(page.contains(&format!("| {} |", op.name)), "{}", op.name);
    }
}
