//! Power cuts at random moments of random work: what was acknowledged is there, whole, and nothing else is torn.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use feitian_store::sim::SimDisk;
use feitian_store::{FileKind, FileLayer, LocalStore};
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::spy::{Spy, Verdict};

const SEEDS: u64 = 1_000;
/// Processes that work on one disk, one after the other; what one leaves behind must not hurt the next.
const LIVES: usize = 4;
const NAMES: [&str; 8] =
    ["a", "t/a", "t/b", "t/p=1/a", "t/p=1/q=2/a", "t/p=2/a", "t/_delta_log/0.json", "t/_delta_log/1.json"];

type Content = Option<Vec<u8>>;
/// What each name must hold. A name is in `doubtful` while the fate of the last work on it is open: it may hold
/// either of the two.
#[derive(Default)]
struct Truth {
    sure: BTreeMap<&'static str, Vec<u8>>,
    doubtful: BTreeMap<&'static str, [Content; 2]>,
    /// A rename in doubt: its content is under one of the two names at least, whatever else happened.
    moving: Vec<([&'static str; 2], Content)>,
}

impl Truth {
    fn of(&self, name: &str) -> Content {
        self.sure.get(name).cloned()
    }

    fn set(&mut self, name: &'static str, content: Content) {
        match content {
            Some(bytes) => drop(self.sure.insert(name, bytes)),
            None => drop(self.sure.remove(name)),
        }
    }

    fn doubt(&mut self, name: &'static str, new: Content) {
        self.doubtful.insert(name, [self.of(name), new]);
    }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    for seed in 0..SEEDS {
        if let Err(what) = run(seed, |disk| disk) {
            panic!("seed {seed}: {what}");
        }
    }
}

#[test]
fn a_layer_that_does_not_sync_files_is_caught() {
    assert_caught(|disk| Spy::new(disk, |change, _| if change == "sync" { Verdict::Skip } else { Verdict::Do }));
}

#[test]
fn a_layer_that_does_not_sync_directories_is_caught() {
    assert_caught(|disk| Spy::new(disk, |change, _| if change == "sync_dir" { Verdict::Skip } else { Verdict::Do }));
}

#[test]
fn a_layer_that_does_not_sync_the_parents_of_new_directories_is_caught() {
    assert_caught(|disk| {
        let made = Mutex::new(None);
        Spy::new(disk, move |change, path| match change {
            "mkdir" => {
                *made.lock().unwrap() = path.parent().map(FilePath::to_path_buf);
                Verdict::Do
            }
            "sync_dir" if made.lock().unwrap().take_if(|dir| dir.as_path() == path).is_some() => Verdict::Skip,
            _ => Verdict::Do,
        })
    });
}

/// The second writer finds the directory that the first has made, but its name is not durable before somebody
/// syncs the parent, and the first writer is not there yet.
#[test]
fn the_second_writer_into_a_new_directory_does_not_rely_on_the_first() {
    let held =
        Held::new(|store: &LocalStore<_>| block_on(store.put(&Path::from("t/a"), "first".into())).map(drop), "/data");
    block_on(held.store.put(&Path::from("t/b"), "second".into())).unwrap();
    held.assert_after_power_cut("t/b", Some(b"second"));
}

/// Whoever hears `AlreadyExists` builds on the object of the winner, so it must be durable by then.
#[test]
fn the_loser_of_a_create_hears_so_only_when_the_winner_is_durable() {
    let create = |store: &LocalStore<_>, bytes: &'static str| {
        block_on(store.put_opts(&Path::from("t/a"), bytes.into(), PutMode::Create.into())).map(drop)
    };
    let held = Held::new(move |store: &LocalStore<_>| create(store, "winner"), "/data/t");
    let lost = create(&held.store, "loser").unwrap_err();
    assert!(matches!(lost, Error::AlreadyExists { .. }), "{lost}");
    held.assert_after_power_cut("t/a", Some(b"winner"));
}

/// The same for a delete that finds nothing, because another one is just removing it.
#[test]
fn a_delete_that_finds_nothing_is_as_durable_as_one_that_does() {
    let held = Held::new(
        |store: &LocalStore<_>| {
            block_on(store.put(&Path::from("t/a"), "x".into()))?;
            block_on(store.put(&Path::from("t/z"), "directory is made now".into()))?;
            block_on(store.delete(&Path::from("t/a")))
        },
        "third sync of /data/t",
    );
    let gone = block_on(held.store.delete(&Path::from("t/a"))).unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
    held.assert_after_power_cut("t/a", None);
}

/// Same seed, same calls, same disk afterwards: a failing seed can be looked at.
#[test]
fn the_simulated_disk_repeats_itself() {
    let outcome = |seed| {
        let disk = SimDisk::new(seed);
        let store = LocalStore::open_on(disk.clone(), "/data").unwrap();
        disk.cut_power_at(disk.changes() + 20);
        for i in 0.. {
            if block_on(store.put(&Path::from(format!("t/{i}")), "some bytes".into())).is_err() {
                break;
            }
        }
        let after = LocalStore::open_on(disk.crash(), "/data").unwrap();
        block_on(after.list(None).map_ok(|m| (m.location, m.size)).try_collect::<Vec<_>>()).unwrap()
    };
    for seed in 0..20 {
        assert_eq!(outcome(seed), outcome(seed));
    }
}

fn assert_caught<L: FileLayer>(wrap: impl Fn(SimDisk) -> L + Copy) {
    let caught = (0..SEEDS).filter(|seed| run(*seed, wrap).is_err()).count();
    assert!(caught > 0, "none of {SEEDS} seeds noticed");
}

/// One disk's whole life: each process ends by a power cut or alone. The error says which promise was broken.
fn run<L: FileLayer>(seed: u64, wrap: impl Fn(SimDisk) -> L) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut disk = SimDisk::new(rng.next_u64());
    let mut truth = Truth::default();
    for _ in 0..LIVES {
        disk.cut_power_at(disk.changes() + rng.random_range(1..80u64));
        work(&mut rng, wrap(disk.clone()), &mut truth)?;
        if rng.random_bool(0.3) {
            // Only the process died: what it did not sync is still there, but no more durable than before.
            disk.cut_power_at(u64::MAX);
            continue;
        }
        disk = disk.crash();
        check(&disk, &mut truth)?;
    }
    disk = disk.crash();
    check(&disk, &mut truth)
}

/// Random work until the power is cut.
fn work<L: FileLayer>(rng: &mut SmallRng, layer: L, truth: &mut Truth) -> Result<(), String> {
    let Ok(store) = LocalStore::open_on(layer, "/data") else { return Ok(()) };
    let mut serial = 0u32;
    loop {
        let name = NAMES[rng.random_range(0..NAMES.len())];
        let other = NAMES[rng.random_range(0..NAMES.len())];
        if [name, other].iter().any(|name| truth.doubtful.contains_key(name)) {
            continue;
        }
        let location = Path::from(name);
        serial += 1;
        let bytes = some_bytes(rng, serial);
        let old = truth.of(name);
        let (result, changes) = match rng.random_range(0..12) {
            0..3 => (block_on(store.put(&location, bytes.clone().into())).map(drop), vec![(name, Some(bytes))]),
            3..6 => {
                let put = store.put_opts(&location, bytes.clone().into(), PutMode::Create.into());
                match block_on(put) {
                    Err(Error::AlreadyExists { .. }) if old.is_some() => continue,
                    Ok(_) if old.is_some() => return Err(format!("created {name} over an existing object")),
                    // Whatever became of it, an object that was there stays.
                    result if old.is_some() => (result.map(drop), vec![]),
                    result => (result.map(drop), vec![(name, Some(bytes))]),
                }
            }
            6..8 => {
                let finish = rng.random_bool(0.8);
                let result = block_on(upload(&store, &location, &bytes, finish));
                (result, if finish { vec![(name, Some(bytes))] } else { vec![] })
            }
            8..10 => match block_on(store.delete(&location)) {
                Err(Error::NotFound { .. }) if old.is_none() => continue,
                Ok(()) if old.is_none() => return Err(format!("deleted {name}, which was not there")),
                result => (result, vec![(name, None)]),
            },
            10 => match block_on(store.copy(&location, &Path::from(other))) {
                Err(Error::NotFound { .. }) if old.is_none() => continue,
                result if old.is_none() => (result, vec![]),
                result => (result, vec![(other, old)]),
            },
            _ => match block_on(store.rename(&location, &Path::from(other))) {
                Err(Error::NotFound { .. }) if old.is_none() => continue,
                result if old.is_none() || name == other => (result, vec![]),
                result => {
                    if result.is_err() {
                        truth.moving.push(([name, other], old.clone()));
                    }
                    (result, vec![(other, old), (name, None)])
                }
            },
        };
        match result {
            Ok(()) => changes.into_iter().for_each(|(name, content)| truth.set(name, content)),
            Err(_) => {
                changes.into_iter().for_each(|(name, content)| truth.doubt(name, content));
                return Ok(());
            }
        }
    }
}

/// Writes `bytes` in up to three parts.
async fn upload<L: FileLayer>(
    store: &LocalStore<L>,
    location: &Path,
    bytes: &[u8],
    finish: bool,
) -> object_store::Result<()> {
    let mut upload = store.put_multipart(location).await?;
    for part in bytes.chunks(bytes.len().div_ceil(3)) {
        upload.put_part(PutPayload::from(part.to_vec())).await?;
    }
    match finish {
        true => upload.complete().await.map(drop),
        false => upload.abort().await,
    }
}

/// Never empty and different each time, so that an empty, torn or old object is seen to be wrong.
fn some_bytes(rng: &mut SmallRng, serial: u32) -> Vec<u8> {
    let mut bytes = vec![0u8; rng.random_range(1..300)];
    rng.fill_bytes(&mut bytes);
    bytes.extend(serial.to_be_bytes());
    bytes.extend(rng.next_u64().to_be_bytes());
    bytes
}

/// Looks at the disk after the cut, and settles what was in doubt.
fn check(disk: &SimDisk, truth: &mut Truth) -> Result<(), String> {
    let store = LocalStore::open_on(disk.clone(), "/data").map_err(|e| e.to_string())?;
    let doubtful = std::mem::take(&mut truth.doubtful);
    for ([from, to], moved) in std::mem::take(&mut truth.moving) {
        if content(&store, from)? != moved && content(&store, to)? != moved {
            return Err(format!("the rename of {from} to {to} lost it"));
        }
    }
    let mut expected_in_list = Vec::new();
    for name in NAMES {
        let found = content(&store, name)?;
        let fits = match doubtful.get(name) {
            Some(either) => either.contains(&found),
            None => found == truth.of(name),
        };
        if !fits {
            let lens = |c: &Content| c.as_ref().map(Vec::len);
            return Err(format!("{name} holds {:?} bytes, not the {:?} promised", lens(&found), lens(&truth.of(name))));
        }
        expected_in_list.extend(found.as_ref().map(|bytes| (name.to_string(), bytes.len() as u64)));
        truth.set(name, found);
    }
    expected_in_list.sort();
    let listed = block_on(store.list(None).map_ok(|m| (m.location.to_string(), m.size)).try_collect::<Vec<_>>());
    if listed.as_ref().ok() != Some(&expected_in_list) {
        return Err(format!("the listing is {listed:?}, not {expected_in_list:?}"));
    }
    block_on(store.sweep_temporaries(Duration::ZERO)).map_err(|e| e.to_string())?;
    match leftover(disk, FilePath::new("/data")) {
        Some(name) => Err(format!("{name} survived the sweep")),
        None => Ok(()),
    }
}

fn content<L: FileLayer>(store: &LocalStore<L>, name: &str) -> Result<Content, String> {
    block_on(async {
        match store.get(&Path::from(name)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(|e| e.to_string())?.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    })
}

fn leftover(disk: &SimDisk, dir: &FilePath) -> Option<String> {
    disk.list_dir(dir).unwrap().into_iter().find_map(|entry| match entry.kind {
        FileKind::Dir => leftover(disk, &dir.join(entry.name)),
        _ => entry.name.to_str().filter(|name| name.starts_with(".tmp-")).map(str::to_string),
    })
}

/// A store in which one writer hangs in a sync of a directory, for ever slow, while others work.
struct Held {
    store: LocalStore<Spy<SimDisk>>,
    disk: SimDisk,
    release: mpsc::Sender<()>,
    writer: std::thread::JoinHandle<object_store::Result<()>>,
}

impl Held {
    /// Starts `writer` in a thread and returns once it hangs at `place`: the first sync of that directory, or
    /// `third sync of` it.
    fn new(
        writer: impl Fn(&LocalStore<Spy<SimDisk>>) -> object_store::Result<()> + Send + 'static,
        place: &'static str,
    ) -> Self {
        let disk = SimDisk::new(0);
        feitian_store::create_dir_all(&disk, FilePath::new("/data")).unwrap();
        let (dir, nth) = place.strip_prefix("third sync of ").map_or((place, 1), |dir| (dir, 3));
        let (reached, wait_reached) = mpsc::channel();
        let (release, wait_release) = mpsc::channel();
        let wait_release = Mutex::new(wait_release);
        // Opening the store syncs as well; only syncs of the writer's thread count.
        let count = Arc::new(Mutex::new(None::<(std::thread::ThreadId, u32)>));
        let counted = Arc::clone(&count);
        let spy = Spy::new(disk.clone(), move |change, path| {
            let mine = {
                let mut count = counted.lock().unwrap();
                match count.as_mut().filter(|(thread, _)| *thread == std::thread::current().id()) {
                    Some((_, n)) if change == "sync_dir" && path == FilePath::new(dir) => {
                        *n += 1;
                        *n == nth
                    }
                    _ => false,
                }
            };
            if mine {
                reached.send(()).unwrap();
                let _ = wait_release.lock().unwrap().recv();
            }
            Verdict::Do
        });
        let store = LocalStore::open_on(spy, "/data").unwrap();
        let theirs = store.clone();
        let writer = std::thread::spawn(move || {
            *count.lock().unwrap() = Some((std::thread::current().id(), 0));
            writer(&theirs)
        });
        wait_reached.recv_timeout(Duration::from_secs(60)).expect("the writer syncs that directory");
        Self { store, disk, release, writer }
    }

    /// Cuts the power while the writer hangs. One disk may come back in many ways, and `name` must hold `expected`
    /// in all of them; 64 leave no chance (4/5 each) that none was at its most forgetful.
    fn assert_after_power_cut(self, name: &str, expected: Option<&[u8]>) {
        for _ in 0..64 {
            let after = LocalStore::open_on(self.disk.crash(), "/data").unwrap();
            assert_eq!(content(&after, name).unwrap().as_deref(), expected);
        }
        self.release.send(()).unwrap();
        self.writer.join().unwrap().unwrap();
    }
}
