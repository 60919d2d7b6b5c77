//! The helpers for files that are not objects.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use feitian_base::Kind;
use feitian_store::sim::SimDisk;
use feitian_store::{DirLock, FileLayer, LayerFile, RealDisk, atomic_write, create_dir_all, free_bytes};

fn read<L: FileLayer>(layer: &L, path: &Path) -> Vec<u8> {
    layer.open(path).unwrap().read_at(0..1000).unwrap()
}

#[test]
fn atomic_write_replaces_a_file_with_the_given_permissions_and_leaves_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    for text in ["first", "the second one"] {
        atomic_write(&RealDisk, &path, text.as_bytes(), 0o600).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn atomic_write_names_the_file_that_it_could_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let error = atomic_write(&RealDisk, &dir.path().join("gone/VERSION"), b"1", 0o644).unwrap_err();
    assert!(error.message().contains("gone/VERSION"), "{error}");
}

/// At every moment the file holds the old text or the new, and the new one once the call returned.
#[test]
fn atomic_write_survives_a_power_cut_at_every_change() {
    let path = Path::new("/data/VERSION");
    for seed in 0..20 {
        for cut_at in 1.. {
            let disk = SimDisk::new(seed);
            create_dir_all(&disk, Path::new("/data")).unwrap();
            atomic_write(&disk, path, b"old", 0o644).unwrap();
            disk.cut_power_at(disk.changes() + cut_at);
            let acknowledged = atomic_write(&disk, path, b"new", 0o644).is_ok();
            let found = read(&disk.crash(), path);
            assert!(found == b"new" || (found == b"old" && !acknowledged), "{found:?}");
            if acknowledged {
                // Create, write, sync, rename, sync of the directory.
                assert_eq!(cut_at, 6);
                break;
            }
        }
    }
}

#[test]
fn created_directories_survive_a_power_cut() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        create_dir_all(&disk, Path::new("/a/b/c")).unwrap();
        create_dir_all(&disk, Path::new("/a/b/d")).unwrap();
        let after = disk.crash();
        assert_eq!(after.list_dir(Path::new("/a/b")).unwrap().len(), 2);
    }
}

#[test]
fn a_file_in_the_way_of_a_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x"), "").unwrap();
    let error = create_dir_all(&RealDisk, &dir.path().join("x/y")).unwrap_err();
    assert!(error.message().contains("/x"), "{error}");
}

#[test]
fn a_data_directory_has_one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DirLock::acquire(dir.path()).unwrap();
    let refused = DirLock::acquire(dir.path()).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    for part in [dir.path().to_str().unwrap(), &format!("process {}", std::process::id()), "stop that one"] {
        assert!(refused.message().contains(part), "{refused} lacks {part}");
    }
    drop(lock);
    DirLock::acquire(dir.path()).unwrap();
}

#[test]
fn free_space_is_that_of_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let free = free_bytes(dir.path()).unwrap();
    let stat = rustix::fs::statvfs(dir.path()).unwrap();
    // Others write to the same disk meanwhile: the right order of magnitude must do.
    assert!(free > 0 && free <= stat.f_blocks * stat.f_frsize);
    assert!(free_bytes(&dir.path().join("gone")).unwrap_err().message().contains("gone"));
}
