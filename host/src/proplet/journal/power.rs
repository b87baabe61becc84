//! Power cuts: of what was written since the last sync, the disk has any part.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use redb::StorageBackend;

use super::{
    tests::{finished, put, running},
    *,
};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Commits of the workload.
const COMMITS: usize = 5;

/// A disk whose power is cut after a number of writes.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What is read.
    current: Vec<u8>,
    /// What a power cut leaves for certain.
    durable: Vec<u8>,
    /// What was written since, which may be there or not, sector by sector.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Writes and syncs until the power is cut.
    left: Option<usize>,
    /// Writes and syncs so far.
    done: usize,
}

impl Disk {
    /// A disk as the cut left it, with chance deciding what of the unsynced writes it has.
    fn after_the_cut(&self, chance: u64) -> Self {
        let platter = self.platter();
        let mut bytes = platter.durable.clone();
        bytes.resize(platter.current.len().max(bytes.len()), 0);
        for (number, (offset, written)) in platter.unsynced.iter().enumerate() {
            for (sector, part) in written.chunks(SECTOR).enumerate() {
                if is_heads((chance, number, sector)) {
                    let at = offset + sector * SECTOR;
                    bytes[at..at + part.len()].copy_from_slice(part);
                }
            }
        }
        let platter = Platter {
            current: bytes.clone(),
            durable: bytes,
            ..Platter::default()
        };
        Self(Arc::new(Mutex::new(platter)))
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    /// Another write or sync, if there is power.
    fn powered(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let mut platter = self.platter();
        platter.done += 1;
        match &mut platter.left {
            Some(0) => Err(io::Error::other("the power is cut")),
            Some(left) => {
                *left -= 1;
                Ok(platter)
            }
            None => Ok(platter),
        }
    }
}

fn is_heads(coin: impl Hash) -> bool {
    let mut hasher = DefaultHasher::new();
    coin.hash(&mut hasher);
    hasher.finish().is_multiple_of(2)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (platter, begin) = (self.platter(), offset as usize);
        let bytes = platter.current.get(begin..begin + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.powered()?.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.powered()?;
        platter.durable = platter.current.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut platter, begin) = (self.powered()?, offset as usize);
        platter.current[begin..begin + data.len()].copy_from_slice(data);
        platter.unsynced.push((begin, data.to_vec()));
        Ok(())
    }
}

/// A journal with its identity on a new disk.
fn journal() -> (Disk, Database) {
    let disk = Disk::default();
    let database = builder().create_with_backend(disk.clone()).unwrap();
    fill(&database, "journal-1").unwrap();
    (disk, database)
}

/// Commits one attempt after the other, each with a change of the first, until something fails. Returns how many commits came back.
fn work(database: &Database) -> usize {
    let commit = |number: &usize| {
        let records = [
            running(&format!("uid-{number}")),
            put("first", finished_entry(*number)),
            finished("last"),
        ];
        write(database, &records).is_ok()
    };
    (1..=COMMITS).take_while(commit).count()
}

fn finished_entry(number: usize) -> Entry {
    match finished(&number.to_string()) {
        Record::Put(_, entry) => *entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_power_cut_leaves_what_some_commit_left_and_all_that_came_back() {
    let (disk, database) = journal();
    let before = disk.platter().done;
    assert_eq!(work(&database), COMMITS);
    let writes = disk.platter().done - before;
    assert!(writes > 2 * COMMITS, "{writes}");

    for cut in 0..writes {
        let (disk, database) = journal();
        disk.platter().left = Some(cut);
        let acknowledged = work(&database);
        drop(database);
        for chance in 0..6 {
            let left = disk.after_the_cut(chance);
            let database = builder().create_with_backend(left).unwrap();
            let Contents { id, entries, .. } = read(&database).unwrap();
            assert_eq!(id.as_deref(), Some("journal-1"));
            let entry = |uid: String| entries.iter().find(|((known, _), _)| *known == uid);
            let there = (1..=COMMITS)
                .take_while(|number| entry(format!("uid-{number}")).is_some())
                .count();
            assert!(
                there == acknowledged || there == acknowledged + 1,
                "{there} of {acknowledged} acknowledged commits, cut after {cut} of {writes} writes"
            );
            let whole = if there == 0 { 0 } else { there + 2 };
            assert_eq!(entries.len(), whole, "a part of a commit, cut after {cut}");
            if let Some((_, first)) = entry("first".to_owned()) {
                let first: Entry = serde_json::from_slice(first).unwrap();
                assert_eq!(first, finished_entry(there), "cut after {cut}");
            }
        }
    }
}
