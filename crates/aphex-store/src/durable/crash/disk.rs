//! A disk that can lose power and fail, as the storage engine sees it.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use redb::StorageBackend;

const SECTOR: usize = 512;

/// What goes wrong, and at which operation of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Never,
    /// The power goes after so many operations.
    Power(usize),
    /// A sync reports an error, once; part of what it should have synced is lost for good.
    Sync(usize),
    /// A write reports an error, once.
    Write(usize),
}

/// Handles are to the same disk.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    /// What survives a power loss for certain.
    synced: Vec<u8>,
    /// What the engine sees.
    view: Vec<u8>,
    unsynced: Vec<Unsynced>,
    trouble: Trouble,
    operations: usize,
    writes: usize,
    syncs: usize,
    off: bool,
    random: StdRng,
}

#[derive(Debug)]
enum Unsynced {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Disk {
    pub(super) fn new(content: Vec<u8>, trouble: Trouble, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            view: content.clone(),
            synced: content,
            unsynced: Vec::new(),
            trouble,
            operations: 0,
            writes: 0,
            syncs: 0,
            off: false,
            random: StdRng::seed_from_u64(seed),
        })))
    }

    /// Turns the power off, and gives what is on the platter.
    pub(super) fn unplug(&self) -> Vec<u8> {
        let mut platter = self.platter();
        platter.off = true;
        platter.settle();
        platter.synced.clone()
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    /// The platter for one more operation, if there is power.
    fn powered(&self) -> Result<MutexGuard<'_, Platter>> {
        let mut platter = self.platter();
        platter.operations += 1;
        platter.off |= matches!(platter.trouble, Trouble::Power(after) if platter.operations > after);
        if platter.off {
            return Err(Error::new(ErrorKind::NotConnected, "the power is off"));
        }
        Ok(platter)
    }
}

impl Platter {
    /// Lets chance decide which sectors of the unsynced writes arrive, in any order.
    fn settle(&mut self) {
        let mut unsynced = std::mem::take(&mut self.unsynced);
        let lengths = unsynced.iter().filter_map(|change| match change {
            Unsynced::Length(length) => Some(*length),
            Unsynced::Write { .. } => None,
        });
        let lengths: Vec<usize> = lengths.chain([self.synced.len()]).collect();
        let length = lengths[self.random.random_range(0..lengths.len())];
        self.synced.resize(length, 0);
        unsynced.shuffle(&mut self.random);
        let arrives = [0.0, 0.1, 0.5, 0.9, 1.0][self.random.random_range(0..5)];
        for change in unsynced {
            let Unsynced::Write { offset, data } = change else { continue };
            let mut start = 0;
            while start < data.len() {
                let at = offset + start;
                let size = (SECTOR - at % SECTOR).min(data.len() - start);
                if self.random.random_bool(arrives) && at + size <= self.synced.len() {
                    self.synced[at..at + size].copy_from_slice(&data[start..start + size]);
                }
                start += size;
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.powered()?.view.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let platter = self.powered()?;
        let offset = usize::try_from(offset).unwrap();
        let from = platter.view.get(offset..offset + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut platter = self.powered()?;
        let length = usize::try_from(len).unwrap();
        platter.view.resize(length, 0);
        platter.unsynced.push(Unsynced::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut platter = self.powered()?;
        platter.syncs += 1;
        if platter.trouble == Trouble::Sync(platter.syncs) {
            // As Linux does it: the pages count as clean afterwards, and no later sync writes them.
            platter.settle();
            return Err(Error::other("the disk could not sync"));
        }
        for change in std::mem::take(&mut platter.unsynced) {
            match change {
                Unsynced::Length(length) => platter.synced.resize(length, 0),
                Unsynced::Write { offset, data } => {
                    let end = offset + data.len();
                    if platter.synced.len() < end {
                        platter.synced.resize(end, 0);
                    }
                    platter.synced[offset..end].copy_from_slice(&data);
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut platter = self.powered()?;
        platter.writes += 1;
        if platter.trouble == Trouble::Write(platter.writes) {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        let offset = usize::try_from(offset).unwrap();
        let end = offset + data.len();
        if platter.view.len() < end {
            platter.view.resize(end, 0);
        }
        platter.view[offset..end].copy_from_slice(data);
        platter.unsynced.push(Unsynced::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
