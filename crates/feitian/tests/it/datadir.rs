//! The data directory: one process at a time, known formats only.

use feitian::datadir::{DataDir, FORMAT, Share};

#[test]
fn a_directory_in_use_is_refused_with_its_name_and_the_process() {
    let temp = tempfile::tempdir().unwrap();
    let first = DataDir::open(temp.path(), Share::Alone).unwrap();
    for share in [Share::Alone, Share::Together] {
        let said = format!("{:?}", DataDir::open(temp.path(), share).unwrap_err());
        assert!(said.contains(first.root().to_str().unwrap()), "{said}");
    }
    let said = format!("{:?}", DataDir::open(temp.path(), Share::Alone).unwrap_err());
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    let id = first.id().to_string();
    drop(first);
    assert_eq!(DataDir::open(temp.path(), Share::Alone).unwrap().id(), id, "the directory keeps its id");
}

#[test]
fn processes_that_share_metadata_share_the_directory() {
    let temp = tempfile::tempdir().unwrap();
    let first = DataDir::open(temp.path(), Share::Together).unwrap();
    let second = DataDir::open(temp.path(), Share::Together).unwrap();
    assert!(first.was_alone() && !second.was_alone());
    assert_ne!(first.tmp(), second.tmp());
    assert!(first.tmp().is_dir(), "the second start leaves the first one's temporary files alone");
    assert!(DataDir::open(temp.path(), Share::Alone).is_err());
    drop(first);
    assert!(DataDir::open(temp.path(), Share::Alone).is_err(), "the second still holds it");
    drop(second);
    DataDir::open(temp.path(), Share::Alone).unwrap();
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let temp = tempfile::tempdir().unwrap();
    drop(DataDir::open(temp.path(), Share::Alone).unwrap());
    let version = temp.path().join("VERSION");
    let newer = format!("{} 01abc\n", FORMAT + 1);
    std::fs::write(&version, &newer).unwrap();
    let said = format!("{:?}", DataDir::open(temp.path(), Share::Alone).unwrap_err());
    assert!(said.contains(&format!("format {}", FORMAT + 1)) && said.contains(&format!("up to {FORMAT}")), "{said}");
    assert_eq!(std::fs::read_to_string(&version).unwrap(), newer, "nothing was changed");
    std::fs::write(&version, "what?").unwrap();
    assert!(format!("{:?}", DataDir::open(temp.path(), Share::Alone).unwrap_err()).contains("damaged"));
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("thesis.tex"), "x").unwrap();
    let said = format!("{:?}", DataDir::open(temp.path(), Share::Alone).unwrap_err());
    assert!(said.contains("thesis.tex"), "{said}");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1, "nothing was created");
    let failure = DataDir::open_existing(temp.path(), Share::Alone).unwrap_err();
    assert_eq!(failure.exit_code(), 1);
}

#[test]
fn temporary_files_of_a_killed_process_are_gone_after_the_next_start() {
    let temp = tempfile::tempdir().unwrap();
    let first = DataDir::open(temp.path(), Share::Alone).unwrap();
    let spilled = first.tmp().join("spilled");
    std::fs::write(&spilled, "x").unwrap();
    // Dropped without cleaning up, as a kill would.
    drop(first);
    let second = DataDir::open(temp.path(), Share::Alone).unwrap();
    assert!(!spilled.exists());
    assert_eq!(std::fs::read_dir(second.tmp()).unwrap().count(), 0);
}
