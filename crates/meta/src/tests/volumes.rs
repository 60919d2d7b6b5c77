//! Volumes: what is in them, and the sessions that write and read files. Expected values are what was written.

use super::*;
use crate::{FS_VOLUME, MAX_VOLUME_PATH_BYTES, PARTED_VOLUME, Volume, VolumeEntry, split_volume_path};

fn volume(id: &str, name: &str, kind: &str) -> Volume {
    Volume {
        id: id.into(),
        at: at("default", name),
        kind: kind.into(),
        owner: "ALIYUN$u1".into(),
        comment: "说明".into(),
        created_ms: 2_700,
        modified_ms: 2_700,
    }
}

/// Project `p` with the file system volume `v1` named `v`.
async fn with_volume(m: &Meta) {
    with_project(m).await;
    m.create_volume(&volume("v1", "v", FS_VOLUME)).await.unwrap();
}

fn file(of: &str, path: &str, object: &str) -> VolumeEntry {
    let (parent, name) = split_volume_path(path);
    VolumeEntry {
        volume_id: of.into(),
        parent: parent.into(),
        name: name.into(),
        num_bytes: 3,
        replication: 1,
        owner: "ALIYUN$u1".into(),
        object: object.into(),
        created_ms: 5_000,
        modified_ms: 5_000,
        ..VolumeEntry::default()
    }
}

fn writing(id: &str, path: &str) -> Session {
    Session { table_id: "v1".into(), partition: path.into(), ..session(id, "volume_upload") }
}

/// Writes a file as the tunnel does, in a session of its own.
async fn write(m: &Meta, session_id: &str, path: &str, object: &str) {
    let session = writing(session_id, path);
    m.open_volume_session(&session, Some(&file(session_id, path, object))).await.unwrap();
    m.commit_volume_session(&session, split_volume_path(path).0, 6_000).await.unwrap();
}

/// The names below a directory, those of directories with a slash.
async fn names(m: &Meta, dir: &str) -> Vec<String> {
    let found = m.list_volume_entries(("v1", dir), ("", None), None, 100).await.unwrap();
    found.into_iter().map(|e| if e.is_dir { e.name + "/" } else { e.name }).collect()
}

/// The contents that somebody names.
async fn contents(m: &Meta) -> Vec<String> {
    let mut found: Vec<String> = m.all_volume_contents().await.unwrap().into_iter().map(|(object, _)| object).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_volume_comes_back_as_it_was_made_and_keeps_its_project_from_being_deleted() {
    on_both(async |db| {
        let m = &db.meta;
        with_volume(m).await;
        let v = volume("v1", "v", FS_VOLUME);
        assert_eq!(m.volume(&v.at).await.unwrap(), v);
        assert_eq!(m.volume_by_id("v1").await.unwrap(), Some(v.clone()));
        refused(m.volume(&at("s1", "v")).await, Kind::NotFound, "NoSuchObject");
        let twice = volume("v2", "v", PARTED_VOLUME);
        refused(m.create_volume(&twice).await, Kind::Conflict, "ObjectAlreadyExists");
        let nowhere = Volume { at: at("s1", "v"), ..twice.clone() };
        refused(m.create_volume(&nowhere).await, Kind::NotFound, "NoSuchObject");
        m.create_schema(&schema("s1"), &Step::None).await.unwrap();
        m.create_volume(&nowhere).await.unwrap();
        assert!(
            refused(m.drop_schema("p", "s1", &Step::None).await, Kind::Conflict, "SchemaNotEmpty").contains("volumes")
        );
        m.drop_volume(&nowhere.at).await.unwrap();
        m.drop_schema("p", "s1", &Step::None).await.unwrap();
        assert!(refused(m.delete_project("p").await, Kind::Conflict, "ProjectNotEmpty").contains("volumes"));
        m.create_volume(&volume("v3", "w", PARTED_VOLUME)).await.unwrap();
        let listed = async |prefix: &str, owner: Option<&str>, after: Option<&str>| {
            let page = m.list_volumes("p", "default", (prefix, owner), after, 9).await.unwrap();
            page.into_iter().map(|v| v.at.name).collect::<Vec<_>>()
        };
        assert_eq!(listed("", None, None).await, ["v", "w"]);
        assert_eq!(listed("", None, Some("v")).await, ["w"]);
        assert_eq!(listed("v", Some("ALIYUN$u1"), None).await, ["v"]);
        assert!(listed("", Some("ALIYUN$u2"), None).await.is_empty());
        for name in ["v", "w"] {
            m.drop_volume(&at("default", name)).await.unwrap();
        }
        refused(m.drop_volume(&v.at).await, Kind::NotFound, "NoSuchObject");
        m.delete_project("p").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_is_in_its_volume_once_its_session_is_committed() {
    on_both(async |db| {
        let m = &db.meta;
        with_volume(m).await;
        let session = writing("s1", "a/b/文件");
        m.open_volume_session(&session, Some(&file("s1", "a/b/文件", "volumes/p/1"))).await.unwrap();
        assert!(names(m, "").await.is_empty());
        assert_eq!(contents(m).await, ["volumes/p/1"]);
        for _ in 0..2 {
            m.commit_volume_session(&session, "a/b", 6_000).await.unwrap();
        }
        assert_eq!((names(m, "").await, names(m, "a").await), (texts(&["a/"]), texts(&["b/"])));
        let found = m.volume_entry("v1", "a/b", "文件").await.unwrap();
        assert_eq!(found, Some(file("v1", "a/b/文件", "volumes/p/1")));
        // The session knows what it was, and holds no content any more.
        assert_eq!(m.volume_session_files("s1").await.unwrap(), [file("s1", "a/b/文件", "")]);
        assert_eq!(contents(m).await, ["volumes/p/1"]);
        assert_eq!(m.volume_size("v1", None).await.unwrap(), (1, 3));
        assert_eq!(m.volume_by_id("v1").await.unwrap().unwrap().modified_ms, 6_000);
        // A new content keeps the file's creation time.
        let again = VolumeEntry { num_bytes: 7, created_ms: 8_000, ..file("s2", "a/b/文件", "volumes/p/2") };
        m.open_volume_session(&writing("s2", "a/b/文件"), Some(&again)).await.unwrap();
        m.commit_volume_session(&writing("s2", "a/b/文件"), "a/b", 8_000).await.unwrap();
        let found = m.volume_entry("v1", "a/b", "文件").await.unwrap().unwrap();
        assert_eq!((found.num_bytes, found.created_ms, found.object.as_str()), (7, 5_000, "volumes/p/2"));
        assert_eq!(contents(m).await, ["volumes/p/2"]);
    })
    .await;
}

#[tokio::test]
async fn a_session_of_many_files_gives_all_of_them_or_none() {
    on_both(async |db| {
        let m = &db.meta;
        with_volume(m).await;
        let session = writing("s1", "part");
        m.open_volume_session(&session, None).await.unwrap();
        for (name, object) in [("part/x", "1"), ("part/y", "2"), ("part/x", "3")] {
            m.put_volume_file(&file("s1", name, object)).await.unwrap();
        }
        assert_eq!(contents(m).await, ["2", "3"]);
        // A directory that has the name of one of them.
        m.make_volume_dir("v1", "part/y", "o", 1).await.unwrap();
        refused(m.commit_volume_session(&session, "part", 6_000).await, Kind::Conflict, "ObjectAlreadyExists");
        assert_eq!(names(m, "part").await, ["y/"]);
        m.remove_volume_entry("v1", "part/y", false, 2).await.unwrap();
        m.commit_volume_session(&session, "part", 6_000).await.unwrap();
        assert_eq!(names(m, "part").await, ["x", "y"]);
        assert_eq!(m.volume_size("v1", Some("part")).await.unwrap(), (2, 6));
        refused(m.put_volume_file(&file("s1", "part/z", "4")).await, Kind::Conflict, "StatusConflict");
        refused(m.put_volume_file(&file("s9", "part/z", "4")).await, Kind::NotFound, "NoSuchObject");
        let unknown = writing("s9", "part");
        refused(m.commit_volume_session(&unknown, "part", 6_000).await, Kind::NotFound, "NoSuchUpload");
        let late = writing("s2", "part");
        m.open_volume_session(&late, None).await.unwrap();
        m.drop_volume(&at("default", "v")).await.unwrap();
        refused(m.commit_volume_session(&late, "part", 6_000).await, Kind::NotFound, "NoSuchObject");
        refused(m.open_volume_session(&unknown, None).await, Kind::NotFound, "NoSuchObject");
        assert!(contents(m).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_content_that_is_read_stays_until_the_session_is_over() {
    on_both(async |db| {
        let m = &db.meta;
        with_volume(m).await;
        write(m, "s1", "f", "1").await;
        let reading = Session { kind: "volume_download".into(), ..writing("r1", "f") };
        let read = m.open_volume_download(&reading, "", "f").await.unwrap();
        assert_eq!(read, file("r1", "f", "1"));
        refused(m.open_volume_download(&writing("r2", "g"), "", "g").await, Kind::NotFound, "NoSuchObject");
        assert_eq!(m.session("r2").await.unwrap(), None);
        m.remove_volume_entry("v1", "f", false, 7_000).await.unwrap();
        assert_eq!(contents(m).await, ["1"]);
        assert_eq!(m.volume_session_files("r1").await.unwrap(), [read]);
        // An upload whose client gave it the id of a volume.
        write(m, "s2", "g", "2").await;
        m.create_session(&session("v1", "upload")).await.unwrap();
        m.expire_sessions(reading.expires_ms).await.unwrap();
        assert_eq!((contents(m).await, names(m, "").await), (texts(&["2"]), texts(&["g"])));
    })
    .await;
}

#[tokio::test]
async fn directories_move_with_everything_in_them() {
    on_both(async |db| {
        let m = &db.meta;
        with_volume(m).await;
        // `ä/b` must not be taken for something in `ä`, nor `ä0` for something below it.
        for (i, path) in ["ä/b/c", "ä/f", "ä0/f", "äb"].into_iter().enumerate() {
            write(m, &format!("s{i}"), path, &format!("{i}")).await;
        }
        let moved = async |from: &str, to: &str| m.change_volume_entry("v1", from, Some(to), None, 7_000).await;
        refused(moved("none", "x").await, Kind::NotFound, "NoSuchObject");
        refused(moved("ä", "ä0").await, Kind::Conflict, "ObjectAlreadyExists");
        refused(moved("ä", "ä/b/c/d").await, Kind::Invalid, "InvalidParameter");
        refused(moved("ä", "none/x").await, Kind::NotFound, "NoSuchObject");
        refused(moved("ä", "äb/x").await, Kind::NotFound, "NoSuchObject");
        let long = format!("ä0/{}", "l".repeat(MAX_VOLUME_PATH_BYTES - 7));
        refused(moved("ä", &long).await, Kind::Invalid, "InvalidParameter");
        moved("ä", "ä0/长长").await.unwrap();
        assert_eq!(names(m, "").await, ["ä0/", "äb"]);
        assert_eq!(names(m, "ä0").await, ["f", "长长/"]);
        assert_eq!(names(m, "ä0/长长").await, ["b/", "f"]);
        assert_eq!(names(m, "ä0/长长/b").await, ["c"]);
        assert_eq!(m.volume_size("v1", None).await.unwrap(), (4, 12));
        m.change_volume_entry("v1", "äb", Some("ac"), Some(5), 7_000).await.unwrap();
        assert_eq!(m.volume_entry("v1", "", "ac").await.unwrap().unwrap().replication, 5);
        let of_dir = m.change_volume_entry("v1", "ä0", None, Some(5), 7_000).await;
        refused(of_dir, Kind::Invalid, "InvalidParameter");
    })
    .await;
}

#[tokio::test]
async fn directories_are_made_once_and_removed_when_they_are_empty() {
    on_both(async |db| {
        let m = &db.meta;
        with_volume(m).await;
        write(m, "s1", "f", "1").await;
        for _ in 0..2 {
            m.make_volume_dir("v1", "a/b", "o", 1).await.unwrap();
        }
        refused(m.make_volume_dir("v1", "f", "o", 1).await, Kind::Conflict, "ObjectAlreadyExists");
        refused(m.make_volume_dir("v1", "f/x", "o", 1).await, Kind::Invalid, "InvalidParameter");
        write(m, "s2", "a/b/g", "2").await;
        write(m, "s3", "ab", "3").await;
        let removed = async |path: &str, recursive| m.remove_volume_entry("v1", path, recursive, 7_000).await;
        refused(removed("a", false).await, Kind::Invalid, "InvalidParameter");
        refused(removed("x", true).await, Kind::NotFound, "NoSuchObject");
        removed("a", true).await.unwrap();
        assert_eq!((names(m, "").await, contents(m).await), (texts(&["ab", "f"]), texts(&["1", "3"])));
        m.make_volume_dir("v1", "a", "o", 1).await.unwrap();
        removed("a", false).await.unwrap();
        assert_eq!(names(m, "").await, ["ab", "f"]);
    })
    .await;
}

// 1 KB of characters of three bytes; no name is more than its bytes to the database.
#[tokio::test]
async fn names_are_kept_as_they_are() {
    on_both(async |db| {
        let m = &db.meta;
        with_volume(m).await;
        let all = ["..", "%2e", "a b", "'; drop table volumes; --", "\u{10FFFF}", &"长".repeat(341)];
        for (i, name) in all.iter().enumerate() {
            write(m, &format!("s{i}"), name, &i.to_string()).await;
        }
        let mut wanted = texts(&all);
        wanted.sort();
        assert_eq!(names(m, "").await, wanted);
        let page = m.list_volume_entries(("v1", ""), ("%", None), None, 1).await.unwrap();
        assert_eq!(page[0].name, "%2e");
        let page = m.list_volume_entries(("v1", ""), ("", None), Some(".."), 1).await.unwrap();
        assert_eq!(page[0].name, "a b");
        for name in all {
            m.remove_volume_entry("v1", name, false, 9).await.unwrap();
        }
    })
    .await;
}
