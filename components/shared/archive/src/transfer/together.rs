//! The SHA-1 of contents that come piece by piece, several at the same time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use sha1::block_api::compress;

use super::digests::{Block, Hash, IN_LANES, START, State, end};
use super::lanes::{self, LANES};

/// Contents that come piece by piece at the same time. A piece waits until the hash is asked for, of its
/// own content or of another, and all that wait are hashed together then.
#[derive(Debug, Clone, Default)]
pub(crate) struct Together(Rc<RefCell<BTreeMap<u64, Content>>>);

/// One of these contents.
#[derive(Debug)]
struct Content {
    state: State,
    /// What comes after the blocks that led to this state.
    waiting: Bytes,
}

impl Content {
    fn blocks(&self) -> &[Block] {
        self.waiting.as_chunks().0
    }

    /// The state after so many blocks more.
    fn stands_at(&mut self, state: State, blocks: usize) {
        self.state = state;
        self.waiting.advance(blocks * size_of::<Block>());
        if self.waiting.is_empty() {
            // Even an empty part of a piece would keep its memory.
            self.waiting = Bytes::new();
        }
    }
}

/// The SHA-1 of a content that comes piece by piece.
#[derive(Debug)]
pub(super) struct Running {
    key: u64,
    length: u64,
    together: Together,
}

impl Together {
    /// Another content, of which these bytes, a multiple of 64, have led to this state.
    pub(super) fn begin(&self, state: State, length: u64) -> Running {
        let mut contents = self.0.borrow_mut();
        let key = contents.last_key_value().map_or(0, |(last, _)| last + 1);
        let waiting = Bytes::new();
        contents.insert(key, Content { state, waiting });
        Running {
            key,
            length,
            together: self.clone(),
        }
    }
}

impl Running {
    /// Takes the next piece.
    pub(super) fn update(&mut self, piece: Bytes) {
        self.hash_on();
        self.length += u64::try_from(piece.len()).unwrap_or_default();
        let mut contents = self.together.0.borrow_mut();
        if let Some(Content { waiting, .. }) = contents.get_mut(&self.key) {
            *waiting = if waiting.is_empty() {
                piece
            } else {
                [waiting.as_ref(), piece.as_ref()].concat().into()
            };
        }
    }

    /// Where it stands, if that is after whole blocks.
    pub(super) fn state(&self) -> Option<State> {
        self.hash_on();
        let contents = self.together.0.borrow();
        let content = contents.get(&self.key)?;
        content.waiting.is_empty().then_some(content.state)
    }

    /// The hash of all that came.
    pub(super) fn hash(&self) -> Hash {
        self.hash_on();
        let contents = self.together.0.borrow();
        let (state, rest) = contents.get(&self.key).map_or((START, &[][..]), |content| {
            (content.state, content.waiting.as_ref())
        });
        end(state, rest, self.length)
    }

    /// Hashes now what waits, if something does of every content: there is nobody to wait for then.
    pub(super) fn hash_if_all_wait(&self) {
        let contents = self.together.0.borrow();
        let all = contents
            .values()
            .all(|content| !content.blocks().is_empty());
        drop(contents);
        if all {
            self.hash_on();
        }
    }

    fn hash_on(&self) {
        self.hash_with(IN_LANES);
    }

    /// Hashes what waits of this content and, if `together`, of others as far as they go along with it.
    fn hash_with(&self, together: bool) {
        let mut contents = self.together.0.borrow_mut();
        loop {
            let mut mates: Vec<(bool, &mut Content)> = contents
                .iter_mut()
                .map(|(key, content)| (*key != self.key, content))
                .filter(|(other, content)| (together || !other) && !content.blocks().is_empty())
                .collect();
            // Its own comes first, and then those that have the most.
            mates.sort_by_key(|(other, content)| (*other, usize::MAX - content.blocks().len()));
            mates.truncate(LANES);
            match mates.as_mut_slice() {
                [] | [(true, _), ..] => return,
                [(_, alone)] => {
                    let (mut state, blocks) = (alone.state, alone.blocks());
                    compress(&mut state, blocks);
                    let blocks = blocks.len();
                    alone.stands_at(state, blocks);
                }
                [(_, own), others @ ..] => {
                    let each: [&Content; LANES] = std::array::from_fn(|lane| {
                        // An empty lane does the first one's work again.
                        let other = lane.checked_sub(1).and_then(|lane| others.get(lane));
                        other.map_or(&**own, |(_, other)| other)
                    });
                    let blocks = each.map(Content::blocks);
                    let shortest = blocks.into_iter().map(<[_]>::len).min().unwrap_or_default();
                    let states = lanes::compress(each.map(|content| content.state), blocks);
                    for ((_, content), state) in mates.iter_mut().zip(states) {
                        content.stands_at(state, shortest);
                    }
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.together.0.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha1::{Digest, Sha1};

    proptest! {
        #[test]
        fn contents_that_come_in_pieces_at_the_same_time_are_hashed_as_each_by_itself(
            steps in prop::collection::vec(
                (0usize..6, prop::collection::vec(any::<u8>(), 0..400), 0..6),
                0..60,
            ),
        ) {
            let together = Together::default();
            let mut contents: [(Option<Running>, Vec<u8>); 6] = Default::default();
            for (which, piece, what) in steps {
                let (running, whole) = &mut contents[which];
                let hash = running.get_or_insert_with(|| together.begin(START, 0));
                hash.hash_with(true);
                match what {
                    // One that is let go of, and begun anew or gone on with where it stood.
                    0 => {
                        *running = hash.state().map(|state| together.begin(state, hash.length));
                        if running.is_none() {
                            whole.clear();
                        }
                    }
                    1 => prop_assert_eq!(hash.hash(), Hash::from(Sha1::digest(&whole))),
                    _ => {
                        whole.extend_from_slice(&piece);
                        hash.update(piece.into());
                    }
                }
            }
            for (running, whole) in &contents {
                if let Some(hash) = running {
                    hash.hash_with(true);
                    prop_assert_eq!(hash.hash(), Hash::from(Sha1::digest(whole)));
                }
            }
        }
    }

    #[test]
    fn pieces_of_others_are_hashed_along_and_their_memory_is_let_go_of() {
        let together = Together::default();
        let mut three = [0, 1, 2].map(|_| together.begin(START, 0));
        let piece = Bytes::from(vec![7; 640]);
        for running in &mut three {
            running.update(piece.clone());
        }
        three[0].hash_with(true);
        assert!(piece.is_unique());
        let expected = Hash::from(Sha1::digest(&piece));
        assert_eq!(three.map(|running| running.hash()), [expected; 3]);
        assert!(together.0.borrow().is_empty());
    }

    #[test]
    fn a_piece_waits_for_those_of_others_until_each_has_one() {
        let together = Together::default();
        let (mut one, mut other) = (together.begin(START, 0), together.begin(START, 0));
        let piece = Bytes::from(vec![7; 640]);
        one.update(piece.clone());
        one.hash_if_all_wait();
        assert!(!piece.is_unique());
        let last = Bytes::from(vec![7; 64]);
        other.update(last.clone());
        other.hash_if_all_wait();
        assert!(last.is_unique());
        // One that has ended is not waited for.
        drop(other);
        one.hash_if_all_wait();
        assert!(piece.is_unique());
    }
}
