//! Volumes and their files. Requests and documents: `odps/models/volumes.py`, `volume_parted.py`, `volume_fs.py` and
//! `odps/tunnel/volumetunnel.py` of PyODPS. The warehouse in memory keeps the contents, the database everything else.

use axum::body::Body;
use feitian_meta::rows::Step;
use serde_json::json;

use crate::client::{Client, Credentials, Reply, between};
use crate::tunnel::hex;
use crate::world::World;

const VOLUMES: &str = "/api/projects/p/volumes";
/// `abcdef` in chunks of four bytes, as a client sends it. The checksums: `zlib.crc32` of Python over the first four bytes and
/// all of the content so far.
const SENT: &str = "00000004 61626364 5c646ba4 6566 ed89d429";
/// The same, and pieces of it, in chunks of 512 KiB.
const ABCDEF: &str = "00080000 616263646566 a21e5222";
const BCD: &str = "00080000 626364 3e63df78";
const EF: &str = "00080000 6566 3de9b1ed";
const NOTHING: &str = "00080000";

async fn with_volumes() -> (World, Client) {
    let world = World::new().await;
    let client = world.demo();
    for (name, kind) in [("Fs", "new"), ("parts", "old")] {
        let body = format!("<Meta><Name>{name}</Name><Comment>c</Comment><Type>{kind}</Type></Meta>");
        assert_eq!(client.post(VOLUMES, body).await.ok().status.as_u16(), 201);
    }
    (world, client)
}

/// A request about something in the volume `fs`.
async fn on(client: &Client, method: &str, query: &str, path: &str, body: &'static str) -> Reply {
    let target = format!("{VOLUMES}/fs{query}");
    client.send(method, &target, &[("x-odps-volume-fs-path", path)], Body::from(body)).await
}

/// Writes a file of the volume `fs` without committing it; returns the session's id.
async fn write(client: &Client, path: &str) -> Reply {
    let headers = [("x-odps-volume-fs-path", path)];
    client.send("POST", "/projects/p/volumes/fs", &headers, hex(SENT).into()).await
}

async fn commit(client: &Client, path: &str, session: &str) -> Reply {
    let headers = [("x-odps-volume-fs-path", path), ("x-odps-volume-sessionid", session)];
    client.send("PUT", "/projects/p/volumes/fs", &headers, Body::empty()).await
}

async fn with_file(client: &Client, path: &str) {
    let session = write(client, path).await.ok().header("x-odps-volume-sessionid").to_string();
    commit(client, path, &session).await.ok();
}

fn paths(list: &str) -> Vec<&str> {
    list.split("<Path>").skip(1).filter_map(|rest| rest.split_once("</Path>").map(|(path, _)| path)).collect()
}

#[tokio::test]
async fn volumes_are_made_listed_and_dropped() {
    let (_world, client) = with_volumes().await;
    let again = "<Meta><Name>FS</Name><Type>OLD</Type></Meta>";
    client.post(VOLUMES, again).await.refused(409, "ObjectAlreadyExists");
    let one = client.get(&format!("{VOLUMES}/FS?meta")).await.ok().text();
    for (tag, want) in [("Name", "fs"), ("Owner", "ALIYUN$demo"), ("Type", "NEW"), ("Comment", "c"), ("Length", "0")] {
        assert_eq!(between(&one, &format!("<{tag}>"), &format!("</{tag}>")), want, "{one}");
    }
    let page = client.get(&format!("{VOLUMES}?expectmarker=true&maxitems=1")).await.ok().text();
    assert_eq!(between(&page, "<Marker>", "</Marker>"), "fs");
    let rest = client.get(&format!("{VOLUMES}?expectmarker=true&marker=fs")).await.ok().text();
    assert!(rest.contains("<Name>parts</Name>") && rest.contains("<Marker/>"), "{rest}");
    client.get(&format!("{VOLUMES}/none?meta")).await.refused(404, "NoSuchObject");
    client.delete(&format!("{VOLUMES}/parts?recursive=true&autoRmDir")).await.ok();
    client.delete(&format!("{VOLUMES}/parts")).await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn a_file_is_written_committed_and_read_in_ranges() {
    let (_world, client) = with_volumes().await;
    let path = "/fs/dir/f.bin";
    let session = write(&client, path).await.ok().header("x-odps-volume-sessionid").to_string();
    on(&client, "GET", "?meta", path, "").await.refused(404, "NoSuchObject");
    commit(&client, "/fs/other", &session).await.refused(404, "NoSuchUpload");
    for _ in 0..2 {
        commit(&client, path, &session).await.ok();
    }
    let item = on(&client, "GET", "?meta", path, "").await.ok().text();
    for (tag, want) in [("Path", path), ("Isdir", "false"), ("Length", "6"), ("BlockReplications", "1")] {
        assert_eq!(between(&item, &format!("<{tag}>"), &format!("</{tag}>")), want, "{item}");
    }
    for (range, want) in
        [("bytes=0-5", ABCDEF), ("bytes=1-3", BCD), ("bytes=4-99", EF), ("bytes=6-9", NOTHING), ("bytes=0--1", NOTHING)]
    {
        let headers = [("x-odps-volume-fs-path", path), ("range", range)];
        let reply = client.send("GET", "/projects/p/volumes/fs", &headers, Body::empty()).await.ok();
        assert_eq!(reply.body.to_vec(), hex(want), "{range}");
    }
    let headers = [("x-odps-volume-fs-path", path), ("accept-encoding", "deflate")];
    let reply = client.send("GET", "/projects/p/volumes/fs", &headers, Body::empty()).await.ok();
    assert_eq!(reply.header("content-encoding"), "deflate");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&reply.body[..]), &mut plain).unwrap();
    assert_eq!(plain, hex(ABCDEF));
    assert_eq!(between(&client.get(&format!("{VOLUMES}/fs?meta")).await.ok().text(), "<FileNumber>", "<"), "1");
}

#[tokio::test]
async fn a_body_that_is_not_whole_leaves_nothing() {
    let (world, client) = with_volumes().await;
    let headers = [("x-odps-volume-fs-path", "/fs/f")];
    world.fake.calls();
    for body in ["", "00000004 61626364", "00000004 61626364 5c646ba5", "00000000", "ffffffff 61"] {
        let reply = client.send("POST", "/projects/p/volumes/fs", &headers, hex(body).into()).await;
        reply.refused(400, "MalformedDataStream");
    }
    assert!(world.state.meta.all_volume_contents().await.unwrap().is_empty());
    assert!(paths(&client.get(&format!("{VOLUMES}/fs?expectmarker=true")).await.ok().text()).is_empty());
}

#[tokio::test]
async fn directories_are_made_listed_moved_and_removed() {
    let (_world, client) = with_volumes().await;
    let make = |path: &str| format!("<Item><Type>directory</Type><Path>{path}</Path></Item>");
    for _ in 0..2 {
        client.post(&format!("{VOLUMES}/fs"), make("/fs/a/b")).await.ok();
    }
    with_file(&client, "/fs/a/f").await;
    let list = on(&client, "GET", "?expectmarker=true", "/fs/a", "").await.ok().text();
    assert_eq!(paths(&list), ["/fs/a/b", "/fs/a/f"]);
    let list = client.get(&format!("{VOLUMES}/fs?expectmarker=true&maxitems=1")).await.ok().text();
    assert_eq!((paths(&list), list.contains("<Isdir>true</Isdir>")), (vec!["/fs/a"], true));
    on(&client, "GET", "", "/fs/none", "").await.refused(404, "NoSuchObject");
    client.post(&format!("{VOLUMES}/fs"), make("/fs/a/f")).await.refused(409, "ObjectAlreadyExists");
    let moved = "<Item><Path>/fs/g</Path><Replication>10</Replication></Item>";
    on(&client, "PUT", "?meta", "/fs/a/f", moved).await.ok();
    let item = on(&client, "GET", "?meta", "/fs/g", "").await.ok().text();
    assert_eq!(between(&item, "<BlockReplications>", "<"), "10");
    on(&client, "PUT", "?meta", "/fs/a/f", moved).await.refused(404, "NoSuchObject");
    on(&client, "PUT", "?meta", "/fs/a", "<Item><Path>/fs/g</Path></Item>").await.refused(409, "ObjectAlreadyExists");
    on(&client, "DELETE", "?recursive=False", "/fs/a", "").await.refused(400, "InvalidParameter");
    on(&client, "DELETE", "?recursive=True", "/fs/a", "").await.ok();
    on(&client, "DELETE", "?recursive=False", "/fs/g", "").await.ok();
    on(&client, "DELETE", "?recursive=False", "/fs/g", "").await.refused(404, "NoSuchObject");
    // The header names the volume itself: nobody means to drop it so.
    on(&client, "DELETE", "?recursive=True", "/fs", "").await.refused(400, "InvalidParameter");
    client.get(&format!("{VOLUMES}/fs?meta")).await.ok();
}

#[tokio::test]
async fn files_of_a_partition_are_uploaded_together_and_downloaded_one_by_one() {
    let (_world, client) = with_volumes().await;
    let uploads = "/projects/p/tunnel/uploads";
    let part = "%E5%88%86%20%C3%A4";
    let opened = client.post(&format!("{uploads}?type=volumefile&target=p%2Fparts%2F{part}%2F"), "").await.ok().json();
    assert_eq!((&opened["Status"], &opened["FileList"]), (&json!("normal"), &json!([])));
    let session = format!("{uploads}/{}", opened["UploadID"].as_str().unwrap());
    for name in ["sub%2Fx", "y", "y"] {
        client.post(&format!("{session}?blockid={name}"), hex(SENT)).await.ok();
    }
    client.post(&format!("{session}?blockid=z"), hex("00000004 6162")).await.refused(400, "MalformedDataStream");
    let files = json!([{"FileName": "sub/x", "FileLength": 6}, {"FileName": "y", "FileLength": 6}]);
    assert_eq!(client.get(&session).await.ok().json()["FileList"], files);
    client.get(&format!("{VOLUMES}/parts/{part}")).await.refused(404, "NoSuchObject");
    for _ in 0..2 {
        let done = client.put(&session, "").await.ok().json();
        assert_eq!((&done["Status"], &done["FileList"]), (&json!("closed"), &files));
    }
    client.post(&format!("{session}?blockid=z"), hex(SENT)).await.refused(409, "StatusConflict");
    let list = client.get(&format!("{VOLUMES}/parts?expectmarker=true")).await.ok().text();
    assert_eq!(between(&list, "<Partitions><Partition><Name>", "</Name>"), "分 ä");
    let meta = client.get(&format!("{VOLUMES}/parts/{part}?meta")).await.ok().text();
    assert_eq!((between(&meta, "<Length>", "<"), between(&meta, "<FileNumber>", "<")), ("12", "2"));
    let list = client.get(&format!("{VOLUMES}/parts/{part}?expectmarker=true&path=&name=s")).await.ok().text();
    assert!(list.contains("<Item><Name>sub/x</Name></Item>") && !list.contains("<Name>y<"), "{list}");
    let target = format!("p%2Fparts%2F{part}%2Fsub%2Fx");
    let opened = client.post(&format!("/projects/p/tunnel/downloads?type=volumefile&target={target}"), "").await;
    let opened = opened.ok().json();
    assert_eq!(opened["File"], json!({"FileName": "sub/x", "FileLength": 6}));
    assert_eq!(opened["Partition"], json!({"Volume": "parts", "Partition": "分 ä"}));
    let session = format!("/projects/p/tunnel/downloads/{}", opened["DownloadID"].as_str().unwrap());
    assert_eq!(client.get(&session).await.ok().json(), opened);
    client.delete(&format!("{VOLUMES}/parts/{part}")).await.ok();
    client.delete(&format!("{VOLUMES}/parts/{part}")).await.refused(404, "NoSuchObject");
    // The session goes on reading what it was opened for.
    for (range, want) in [("%280%2C9223372036854775807%29", ABCDEF), ("%281%2C3%29", BCD)] {
        let reply = client.get(&format!("{session}?data=&range={range}")).await.ok();
        assert_eq!(reply.body.to_vec(), hex(want), "{range}");
    }
}

#[tokio::test]
async fn what_volumes_do_not_do_is_refused_by_name() {
    let (world, client) = with_volumes().await;
    let external = "<Meta><Name>e</Name><Type>EXTERNAL</Type></Meta>";
    let reply = client.post(VOLUMES, external).await.refused(405, "MethodNotAllowed");
    assert!(reply.text().contains("EXTERNAL"), "{}", reply.text());
    for (method, target, named) in [
        ("POST", format!("{VOLUMES}?accelerate"), "accelerate"),
        ("GET", format!("{VOLUMES}/fs?meta&sign_url=get"), "sign_url"),
        ("POST", "/projects/p/tunnel/uploads/x?blockid=f&resume".to_string(), "resume"),
        ("POST", "/projects/p/tunnel/uploads?type=table&target=p%2Fparts%2Fa%2F".to_string(), "table"),
    ] {
        let body = "<Meta><Name>n</Name><Type>NEW</Type></Meta>";
        let reply = client.send(method, &target, &[], body.into()).await.refused(405, "MethodNotAllowed");
        assert!(reply.text().contains(named), "{}", reply.text());
    }
    for target in ["p/parts/../", "p/parts//", "q/parts/a/", "p/fs/a/", "p/parts/a/f", "x"] {
        let target = target.replace('/', "%2F");
        let target = format!("/projects/p/tunnel/uploads?type=volumefile&target={target}");
        client.post(&target, "").await.refused(400, "InvalidParameter");
    }
    for path in ["/fs/../parts/x", "/parts/x", "/fs/./x"] {
        write(&client, path).await.refused(400, "InvalidParameter");
        on(&client, "GET", "?meta", path, "").await.refused(400, "InvalidParameter");
    }
    for name in ["a.b", "a/b", "é", ""] {
        let body = format!("<Meta><Name>{name}</Name><Type>NEW</Type></Meta>");
        client.post(VOLUMES, body).await.refused(400, "InvalidParameter");
    }
    let body = format!("<Meta><Name>n</Name><Comment>{}</Comment><Type>NEW</Type></Meta>", "c".repeat(1025));
    client.post(VOLUMES, body).await.refused(400, "InvalidParameter");
    for id in ["x", "01arz3ndektsv4rrffq69g5fav"] {
        client.get(&format!("/projects/p/tunnel/uploads/{id}")).await.refused(404, "NoSuchUpload");
        client.get(&format!("/projects/p/tunnel/downloads/{id}")).await.refused(404, "NoSuchDownload");
    }
    assert!(world.state.meta.all_volume_contents().await.unwrap().is_empty());
}

/// A policy of project `p` with one statement about everybody.
fn policy(effect: &str, action: &str, resource: &str) -> String {
    let statement = json!({
        "Effect": effect, "Principal": ["*"], "Action": [action], "Resource": format!("acs:odps:*:projects/{resource}"),
    });
    json!({ "Version": "1", "Statement": [statement] }).to_string()
}

#[tokio::test]
async fn a_policy_says_who_may_do_what_with_a_volume() {
    let (world, demo) = with_volumes().await;
    with_file(&demo, "/fs/f").await;
    let (meta, user) = (&world.state.meta, world.client("otherkey"));
    meta.add_user("p", "other", &Step::None).await.unwrap();
    let (uploads, target) = ("/projects/p/tunnel/uploads?type=volumefile&target=", "p%2Fparts%2Fa%2F");
    let upload = format!("{uploads}{target}");
    let create = "<Meta><Name>n</Name><Type>NEW</Type></Meta>";
    let rule = async |text: String| demo.put("/api/projects/p?policy", text).await.ok();
    user.post(VOLUMES, create).await.refused(403, "NoPermission");
    rule(policy("Allow", "odps:CreateVolume", "p")).await;
    user.post(VOLUMES, create).await.ok();
    on(&user, "GET", "?meta", "/fs/f", "").await.refused(403, "NoPermission");
    rule(policy("Allow", "odps:Read", "p/volumes/fs")).await;
    on(&user, "GET", "?meta", "/fs/f", "").await.ok();
    let headers = [("x-odps-volume-fs-path", "/fs/f")];
    user.send("GET", "/projects/p/volumes/fs", &headers, Body::empty()).await.ok();
    write(&user, "/fs/g").await.refused(403, "NoPermission");
    on(&user, "DELETE", "", "/fs/f", "").await.refused(403, "NoPermission");
    user.get(&format!("{VOLUMES}/parts?meta")).await.refused(403, "NoPermission");
    user.post(&upload, "").await.refused(403, "NoPermission");
    for resource in ["p/volumes/parts", "p"] {
        rule(policy("Allow", "odps:Write", resource)).await;
        user.post(&upload, "").await.ok();
    }
    rule(policy("Allow", "odps:Write", "p/volumes/fs")).await;
    user.post(&upload, "").await.refused(403, "NoPermission");
    // Whoever was admitted may do all of it, but what a policy denies.
    meta.admit("p", "other").await.unwrap();
    rule(policy("Deny", "odps:*", "p/volumes/parts")).await;
    write(&user, "/fs/g").await.ok();
    user.post(&upload, "").await.refused(403, "NoPermission");
    user.get(&format!("{VOLUMES}/parts")).await.refused(403, "NoPermission");
    let opened = demo.post(&upload, "").await.ok().json();
    let session = format!("/projects/p/tunnel/uploads/{}", opened["UploadID"].as_str().unwrap());
    user.post(&format!("{session}?blockid=f"), hex(SENT)).await.refused(403, "NoPermission");
    user.put(&session, "").await.refused(403, "NoPermission");
}

#[tokio::test]
async fn a_token_reaches_the_volumes_that_its_policy_names() {
    let (world, _) = with_volumes().await;
    let statement = |resource: &str| {
        let resource = format!("acs:odps:*:projects/{resource}");
        json!({"Effect": "Allow", "Action": ["odps:Read", "odps:Write"], "Resource": resource})
    };
    let token = world.token(json!({"Version": "1", "Statement": [statement("p/volumes/fs")]})).await;
    let token = world.with_credentials(Credentials::Bearer(token));
    token.get(&format!("{VOLUMES}/fs?meta")).await.ok();
    token.get(&format!("{VOLUMES}/parts?meta")).await.refused(403, "NoPermission");
    write(&token, "/fs/f").await.ok();
    let upload = "/projects/p/tunnel/uploads?type=volumefile&target=p%2Fparts%2Fa%2F";
    token.post(upload, "").await.refused(403, "NoPermission");
    let deny = json!({"Effect": "Deny", "Action": "odps:*", "Resource": "acs:odps:*:projects/p/volumes/parts"});
    let all = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let token = world.token(json!({"Version": "1", "Statement": [all, deny]})).await;
    let token = world.with_credentials(Credentials::Bearer(token));
    token.post(upload, "").await.refused(403, "NoPermission");
    token.post(&upload.replace("parts", "fs"), "").await.refused(400, "InvalidParameter");
}

#[tokio::test]
async fn a_resource_refers_to_a_file_of_a_partition() {
    let (world, client) = with_volumes().await;
    let uploads = "/projects/p/tunnel/uploads";
    let opened = client.post(&format!("{uploads}?type=volumefile&target=p%2Fparts%2Fa%2F"), "").await.ok().json();
    let session = format!("{uploads}/{}", opened["UploadID"].as_str().unwrap());
    client.post(&format!("{session}?blockid=f"), hex(SENT)).await.ok();
    client.put(&session, "").await.ok();
    world.fake.calls();
    let send = async |source: &'static str| {
        let headers = [
            ("x-odps-resource-type", "volumefile"),
            ("x-odps-resource-name", "r"),
            ("x-odps-copy-file-source", source),
        ];
        client.send("POST", "/api/projects/p/resources", &headers, Body::empty()).await
    };
    send("p/volumes/parts/a/f").await.ok();
    assert_eq!(
        world.fake.calls(),
        ["put_resource p.default.r volumefile  temp=false overwrite=false: p/volumes/parts/a/f"]
    );
    send("p/volumes/parts/a/none").await.refused(404, "NoSuchObject");
    // A partition is no file, however its path is written.
    send("p/volumes/parts//a").await.refused(404, "NoSuchObject");
    for source in ["p/volumes/fs/a/f", "q/volumes/parts/a/f", "p/tables/parts/a/f", "p/volumes/parts/a"] {
        send(source).await.refused(400, "InvalidParameter");
    }
    assert_eq!(world.fake.calls(), [""; 0]);
}
