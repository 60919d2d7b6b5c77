//! Schemas, functions and resources over REST. Documents and headers: `odps/models/schema.py`, `function.py` and
//! `resource.py` of PyODPS.

use axum::body::Body;
use feitian_meta::rows::{ObjectName, Resource};

use crate::client::{Reply, between};
use crate::world::World;

const SCHEMAS: &str = "/api/projects/p/schemas";
const FUNCTIONS: &str = "/api/projects/p/registration%2Ffunctions";
const RESOURCES: &str = "/api/projects/p/resources";

/// A resource whose row is there, as the warehouse would have left it.
async fn with_resource(world: &World, name: &str, kind: &str, source: &str) {
    let at = ObjectName { project: "p".into(), schema_name: "default".into(), name: name.into() };
    let row = Resource {
        at,
        kind: kind.into(),
        owner: "ALIYUN$demo".into(),
        updator: "ALIYUN$demo".into(),
        is_temp: false,
        num_bytes: 10,
        md5: "0123456789abcdef0123456789abcdef".into(),
        path: if source.is_empty() { "resources/p/1".into() } else { String::new() },
        source: source.into(),
        comment: "a comment".into(),
        // 1704067200 seconds after 1970 began: 2024-01-01 00:00 UTC.
        created_ms: 1_704_067_200_000,
        modified_ms: 1_704_067_260_000,
    };
    world.state.meta.create_resource(&row, &[]).await.unwrap();
}

#[tokio::test]
async fn a_schema_is_made_shown_listed_and_dropped() {
    let world = World::new().await;
    let client = world.demo();
    let create = "<Schema><Name>S1</Name><Description>ours</Description></Schema>";
    client.post(SCHEMAS, create).await.ok();
    client.post(SCHEMAS, create).await.refused(409, "ObjectAlreadyExists");
    let one = client.get(&format!("{SCHEMAS}/s1")).await.ok();
    assert_eq!(one.header("x-odps-owner"), "ALIYUN$demo");
    assert!(!one.header("x-odps-creation-time").is_empty() && !one.header("last-modified").is_empty());
    let text = one.text();
    assert_eq!(between(&text, "<Name>", "</Name>"), "s1");
    assert_eq!(between(&text, "<Description>", "</Description>"), "ours");
    let list = client.get(&format!("{SCHEMAS}?expectmarker=true")).await.ok().text();
    assert!(list.contains("<Name>default</Name>") && list.contains("<Name>s1</Name>"), "{list}");
    let page = client.get(&format!("{SCHEMAS}?maxitems=1")).await.ok().text();
    assert_eq!(between(&page, "<Marker>", "</Marker>"), "default");
    client.get("/api/projects/p/tables?curr_schema=S1").await.ok();
    client.delete(&format!("{SCHEMAS}/s1")).await.ok();
    client.get(&format!("{SCHEMAS}/s1")).await.refused(404, "NoSuchObject");
    client.delete(&format!("{SCHEMAS}/s1")).await.refused(404, "NoSuchObject");
    client.delete(&format!("{SCHEMAS}/default")).await.refused(400, "InvalidParameter");
}

#[tokio::test]
async fn a_schema_needs_a_name_of_its_own() {
    let world = World::new().await;
    let client = world.demo();
    for bad in ["a.b", "p", "a b", "é"] {
        let body = format!("<Schema><Name>{bad}</Name></Schema>");
        client.post(SCHEMAS, body).await.refused(400, "InvalidArgument");
    }
    let other = "<Schema><Name>s</Name><Owner>ALIYUN$other</Owner></Schema>";
    assert_eq!(client.post(SCHEMAS, other).await.status.as_u16(), 400);
}

#[tokio::test]
async fn a_function_names_its_resources_in_full() {
    let world = World::new().await;
    let client = world.demo();
    let body = |resource: &str| {
        format!(
            "<Function><Alias>My_Plus</Alias><ClassType>my_mod.MyPlus</ClassType><Resources>\
             <ResourceName>{resource}</ResourceName></Resources></Function>"
        )
    };
    client.post(FUNCTIONS, body("my_mod.py")).await.refused(404, "NoSuchObject");
    with_resource(&world, "my_mod.py", "py", "").await;
    with_resource(&world, "other.jar", "jar", "").await;
    client.post(FUNCTIONS, body("my_mod.py")).await.ok();
    client.post(FUNCTIONS, body("my_mod.py")).await.refused(409, "ObjectAlreadyExists");
    let one = client.get(&format!("{FUNCTIONS}/MY_PLUS")).await.ok().text();
    for (tag, want) in [
        ("Alias", "my_plus"),
        ("Owner", "ALIYUN$demo"),
        ("ClassType", "my_mod.MyPlus"),
        ("ResourceName", "p/resources/my_mod.py"),
    ] {
        assert_eq!(between(&one, &format!("<{tag}>"), &format!("</{tag}>")), want, "{one}");
    }
    client.put(&format!("{FUNCTIONS}/my_plus"), body("p/resources/other.jar")).await.ok();
    let list = client.get(&format!("{FUNCTIONS}?expectmarker=true&name=my")).await.ok().text();
    assert_eq!(between(&list, "<ResourceName>", "</ResourceName>"), "p/resources/other.jar");
    let owner = |name: &'static str| [("x-odps-owner", name)];
    let target = format!("{FUNCTIONS}/my_plus?updateowner");
    client.send("PUT", &target, &owner("ALIYUN$other"), Body::empty()).await.ok();
    client.send("PUT", &target, &owner("ALIYUN$nobody"), Body::empty()).await.refused(404, "NoSuchObject");
    assert!(client.get(&format!("{FUNCTIONS}/my_plus")).await.ok().text().contains("<Owner>ALIYUN$other</Owner>"));
    client.delete(&format!("{FUNCTIONS}/my_plus")).await.ok();
    client.get(&format!("{FUNCTIONS}/my_plus")).await.refused(404, "NoSuchObject");
    client.get(&format!("{FUNCTIONS}?curr_schema=s1")).await.refused(404, "NoSuchObject");
}

async fn send(
    world: &World,
    method: &str,
    target: &str,
    kind: &str,
    extra: &[(&str, &str)],
    body: &'static str,
) -> Reply {
    let mut headers = vec![("x-odps-resource-type", kind), ("x-odps-resource-name", "My.py")];
    headers.extend(extra);
    world.demo().send(method, target, &headers, Body::from(body)).await
}

#[tokio::test]
async fn contents_parts_and_references_reach_the_warehouse() {
    let world = World::new().await;
    let calls = || world.fake.calls();
    calls();
    let temp = [("x-odps-resource-istemp", "true"), ("x-odps-comment", "c")];
    send(&world, "POST", RESOURCES, "py", &temp, "12345").await.ok();
    assert_eq!(calls(), ["put_resource p.default.My.py py c temp=true overwrite=false: 5 bytes"]);
    send(&world, "POST", &format!("{RESOURCES}?rIsPart=true"), "file", &[], "123").await.ok();
    assert_eq!(calls(), ["put_resource p.default.My.py file  temp=false overwrite=false: 3 bytes"]);
    let (md5, total) = ("0123456789ABCDEF0123456789abcdef", [("x-odps-resource-merge-total-bytes", "8")]);
    let body = "0123456789ABCDEF0123456789abcdef|a.part, b.part";
    send(&world, "PUT", &format!("{RESOURCES}/My.py?rOpMerge=true"), "py", &total, body).await.ok();
    let parts = format!("{md5} [\"a.part\", \"b.part\"] Some(8)");
    assert_eq!(calls(), [format!("put_resource p.default.My.py py  temp=false overwrite=true: {parts}")]);
    let table = [("x-odps-copy-table-source", "p.t partition(ds='1')")];
    send(&world, "POST", &format!("{RESOURCES}?curr_schema=s1"), "table", &table, "").await.ok();
    let want = "put_resource p.s1.My.py table  temp=false overwrite=false: p.t partition(ds='1')";
    assert_eq!(calls(), [want]);
}

#[tokio::test]
async fn a_resource_that_is_not_well_described_is_refused_before_anything_happens() {
    let world = World::new().await;
    world.fake.calls();
    send(&world, "POST", RESOURCES, "mystery", &[], "").await.refused(405, "MethodNotAllowed");
    send(&world, "POST", RESOURCES, "volumefile", &[], "").await.refused(400, "InvalidParameter");
    send(&world, "POST", RESOURCES, "table", &[], "").await.refused(400, "InvalidParameter");
    send(&world, "POST", RESOURCES, "py", &[("x-odps-resource-istemp", "yes")], "")
        .await
        .refused(400, "InvalidParameter");
    for body in ["", "0123|a", "0123456789abcdef0123456789abcdef|", "0123456789abcdef0123456789abcdeg|a"] {
        let merge = format!("{RESOURCES}?rOpMerge=true");
        send(&world, "POST", &merge, "py", &[], body).await.refused(400, "InvalidParameter");
    }
    let nameless = [("x-odps-resource-type", "py")];
    world.demo().send("POST", RESOURCES, &nameless, Body::empty()).await.refused(400, "InvalidParameter");
    assert_eq!(world.fake.calls(), [""; 0]);
}

#[tokio::test]
async fn what_a_resource_is_stands_in_headers() {
    let world = World::new().await;
    let client = world.demo();
    with_resource(&world, "My.py", "py", "").await;
    with_resource(&world, "ref", "table", "p.t partition(ds='1')").await;
    let meta = client.get(&format!("{RESOURCES}/My.py?meta")).await.ok();
    for (name, want) in [
        ("x-odps-owner", "ALIYUN$demo"),
        ("x-odps-resource-type", "py"),
        ("x-odps-resource-size", "10"),
        ("x-odps-resource-istemp", "false"),
        ("x-odps-comment", "a comment"),
        ("x-odps-updator", "ALIYUN$demo"),
        ("x-odps-creation-time", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("last-modified", "Mon, 01 Jan 2024 00:01:00 GMT"),
        ("content-md5", "0123456789abcdef0123456789abcdef"),
        ("x-odps-copy-table-source", ""),
    ] {
        assert_eq!(meta.header(name), want, "{name}");
    }
    let meta = client.get(&format!("{RESOURCES}/ref?meta")).await.ok();
    assert_eq!(meta.header("x-odps-copy-table-source"), "p.t partition(ds='1')");
    let list = client.get(&format!("{RESOURCES}?expectmarker=true&name=r")).await.ok().text();
    assert!(list.contains("<ResourceType>table</ResourceType>") && !list.contains("My.py"), "{list}");
    // Names of resources have letter case.
    client.get(&format!("{RESOURCES}/my.py?meta")).await.refused(404, "NoSuchObject");
    client.delete(&format!("{RESOURCES}/My.py")).await.ok();
    client.delete(&format!("{RESOURCES}/My.py")).await.refused(404, "NoSuchObject");
}

// Sizes: ten bytes were written; a slice ends where they end.
#[tokio::test]
async fn a_content_is_read_whole_or_in_slices() {
    let world = World::new().await;
    let client = world.demo();
    with_resource(&world, "My.py", "py", "").await;
    for (query, want, has_more) in [
        ("", "abcdefghij", "false"),
        ("?rOffset=0&rSize=4", "abcd", "true"),
        ("?rOffset=4&rSize=100", "efghij", "false"),
        ("?rOffset=11&rSize=1", "", "false"),
    ] {
        let reply = client.get(&format!("{RESOURCES}/My.py{query}")).await.ok();
        assert_eq!((reply.text().as_str(), reply.header("x-odps-resource-has-remaining")), (want, has_more), "{query}");
    }
    client.get(&format!("{RESOURCES}/My.py?rSize=x")).await.refused(400, "InvalidParameter");
}
