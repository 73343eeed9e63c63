//! Plans which files are fetched together, and how.

use ledger::attachments::Claimed;

/// Files up to this size are fetched in groups.
pub(crate) const SMALL_BYTES: u64 = 512 * 1024;

/// The most files in one call. On 18, Odoo gave 580 files/s at 20 per call against 53 at one; but a lost or refused
/// file makes its whole group be asked for again, so not hundreds.
const GROUP_FILES: usize = 40;

/// The most bytes in one call.
const GROUP_BYTES: u64 = 2 * 1024 * 1024;

/// Files up to this size are held whole; larger ones are uploaded in pieces of this size.
pub(crate) const WHOLE_BYTES: u64 = storage::CHUNK_BYTES;

/// How many large files are uploaded at once. The pieces of a file go one after another, so at 100 ms latency a
/// single file reaches a third of the throughput of one whole request.
const LARGE_FILES: usize = 3;

/// The most bytes of whole files that a batch holds in memory.
const MOST_HELD_BYTES: u64 = 16 * 1024 * 1024;

/// The same limit beside the maximum number of large files.
const LEAST_HELD_BYTES: u64 = 4 * 1024 * 1024;

/// The memory of a large file: the piece being uploaded, and the next one.
const PIECES_BYTES: u64 = 2 * WHOLE_BYTES;

/// How files are fetched.
#[derive(Debug, Clone, PartialEq)]
pub enum Fetch {
    /// All in one RPC call.
    Group(Vec<Claimed>),
    /// Alone, held whole.
    Whole(Claimed),
    /// Alone, in pieces.
    Pieces(Claimed),
}

impl Fetch {
    /// The memory in bytes that this takes. The files of a group stay until they are uploaded; a large file is read
    /// one piece ahead.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Group(files) => files.iter().map(|f| f.file_size).sum(),
            Self::Whole(file) => file.file_size,
            Self::Pieces(_) => PIECES_BYTES,
        }
    }
}

/// How many large files may be under way with these limits of `calls` and `uploads`. One call is left for small
/// files, and `runs` parallel runs share an instance's memory. If the source has no ranges (`resumes` is false), one
/// file gets all the bandwidth: what it does not finish in a batch is read again in the next.
pub(crate) fn large_at_once(resumes: bool, runs: u32, calls: usize, uploads: usize) -> usize {
    if !resumes {
        return 1;
    }
    let runs = usize::try_from(runs).unwrap_or(usize::MAX).max(1);
    let calls = calls.saturating_sub(1);
    (LARGE_FILES / runs).min(calls).min(uploads).max(1)
}

/// How many bytes of whole files may be held beside `large` large ones, when `runs` parallel runs share an instance's
/// memory.
pub(crate) fn held_at_once(large: usize, runs: u32) -> u64 {
    let most = LARGE_FILES as u64 * PIECES_BYTES + LEAST_HELD_BYTES;
    let large = PIECES_BYTES.saturating_mul(large as u64);
    let left = (most / u64::from(runs.max(1))).saturating_sub(large);
    left.clamp(LEAST_HELD_BYTES, MOST_HELD_BYTES)
}

/// Plans each claimed file exactly once, in order as far as groups allow. A file that has failed or was interrupted
/// before goes alone, so that it spoils no group twice.
pub fn plan(claimed: Vec<Claimed>) -> Vec<Fetch> {
    let mut plan = Vec::new();
    let mut group: Vec<Claimed> = Vec::new();
    let mut group_bytes = 0u64;
    for file in claimed {
        let size = file.file_size;
        if size > WHOLE_BYTES {
            plan.push(Fetch::Pieces(file));
        } else if size > SMALL_BYTES || file.attempts > 0 || file.interruptions > 0 {
            plan.push(Fetch::Whole(file));
        } else {
            if group.len() >= GROUP_FILES || group_bytes.saturating_add(size) > GROUP_BYTES {
                plan.push(Fetch::Group(std::mem::take(&mut group)));
                group_bytes = 0;
            }
            group_bytes += size;
            group.push(file);
        }
    }
    if !group.is_empty() {
        plan.push(Fetch::Group(group));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(id: i64, file_size: u64, attempts: u32) -> Claimed {
        Claimed {
            id,
            name: None,
            mimetype: None,
            file_size,
            checksum: content::Sha1::new([0; 20]),
            attempts,
            interruptions: 0,
            upload: None,
            stored: false,
            lost: false,
        }
    }

    proptest! {
        #[test]
        fn every_file_is_planned_once_and_no_group_is_too_large(
            sizes in prop::collection::vec((0u64..20_000_000, 0u32..2), 0..200)
        ) {
            let claimed: Vec<_> = sizes.iter().zip(1..).map(|((size, attempts), id)| file(id, *size, *attempts)).collect();
            let mut ids = Vec::new();
            for fetch in plan(claimed.clone()) {
                match fetch {
                    Fetch::Group(files) => {
                        prop_assert!(files.len() <= GROUP_FILES);
                        prop_assert!(files.iter().map(|f| f.file_size).sum::<u64>() <= GROUP_BYTES);
                        ids.extend(files.iter().map(|f| f.id));
                    }
                    Fetch::Whole(file) => {
                        prop_assert!(file.file_size <= WHOLE_BYTES);
                        ids.push(file.id);
                    }
                    Fetch::Pieces(file) => ids.push(file.id),
                }
            }
            ids.sort_unstable();
            prop_assert_eq!(ids, claimed.iter().map(|f| f.id).collect::<Vec<_>>());
        }
    }

    #[test]
    fn large_files_go_together_only_where_nobody_suffers_from_it() {
        assert_eq!(large_at_once(true, 1, 4, 32), 3);
        assert_eq!(large_at_once(true, 1, 2, 32), 1, "Odoo is busy");
        assert_eq!(large_at_once(true, 1, 4, 2), 2, "Storage is busy");
        assert_eq!(large_at_once(true, 1, 1, 1), 1, "but one always may");
        assert_eq!(large_at_once(true, 2, 4, 32), 1, "runs share the memory");
        assert_eq!(large_at_once(true, 64, 4, 32), 1);
        assert_eq!(large_at_once(false, 1, 4, 32), 1, "no ranges");
    }

    #[test]
    fn all_that_is_held_at_once_fits_into_the_memory_of_an_instance() {
        const MIB: u64 = 1024 * 1024;
        let beside = |runs, large| held_at_once(large, runs) / MIB;
        assert_eq!([0, 1, 2, 3].map(|large| beside(1, large)), [16, 16, 16, 4]);
        assert_eq!([0, 1].map(|large| beside(2, large)), [16, 8]);
        assert_eq!([0, 1].map(|large| beside(64, large)), [4, 4]);
    }

    #[test]
    fn a_thousand_small_files_cost_few_calls() {
        let claimed = (0..1000).map(|id| file(id, 40_000, 0)).collect();
        assert!(plan(claimed).len() <= 25);
    }
}
