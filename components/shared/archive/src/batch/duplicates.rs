//! Moves identical content once: files with the same content wait for the first one.

use std::collections::{HashMap, HashSet};

use content::Sha1;
use ledger::attachments::Claimed;

/// Which contents are being moved, and which files wait for them.
#[derive(Default)]
pub(super) struct Duplicates {
    waiting: HashMap<Sha1, Vec<Claimed>>,
    stored: HashSet<Sha1>,
    /// How many files wait for another one.
    held: usize,
}

/// What to do with a claimed file.
pub(super) enum First {
    /// Move it.
    Move(Claimed),
    /// Its content was stored and confirmed in this batch.
    Stored(Claimed),
    /// An earlier batch moved its content: ask Storage whether the object is still there.
    Presumed(Claimed),
    /// It waits for another file with the same content.
    Waits,
}

impl Duplicates {
    /// How many files wait for another one.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Decides what to do with a claimed file.
    pub(super) fn take_up(&mut self, file: Claimed) -> First {
        let content = file.checksum;
        if self.stored.contains(&content) {
            return First::Stored(file);
        }
        if let Some(waiting) = self.waiting.get_mut(&content) {
            waiting.push(file);
            self.held += 1;
            return First::Waits;
        }
        self.waiting.insert(content, Vec::new());
        if file.stored && !file.lost {
            First::Presumed(file)
        } else {
            First::Move(file)
        }
    }

    /// Notes that the content is stored. Returns the files that waited for it.
    pub(super) fn stored(&mut self, file: &Claimed) -> Vec<Claimed> {
        let content = file.checksum;
        let waited = self.waiting.remove(&content).unwrap_or_default();
        self.held -= waited.len();
        self.stored.insert(content);
        waited
    }

    /// Notes that this file could not be moved. Returns the next file with the same content to try.
    pub(super) fn failed(&mut self, file: &Claimed) -> Option<Claimed> {
        let content = &file.checksum;
        let next = self.waiting.get_mut(content).and_then(Vec::pop);
        match next {
            Some(_) => self.held -= 1,
            None => drop(self.waiting.remove(content)),
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: i64, content: &str) -> Claimed {
        Claimed {
            id,
            name: None,
            mimetype: None,
            file_size: 1,
            checksum: content.repeat(40).parse().unwrap(),
            attempts: 0,
            interruptions: 0,
            upload: None,
            stored: false,
            lost: false,
        }
    }

    #[test]
    fn one_moves_and_the_others_wait_for_it() {
        let mut duplicates = Duplicates::default();
        assert!(matches!(duplicates.take_up(file(1, "a")), First::Move(_)));
        assert!(matches!(duplicates.take_up(file(2, "a")), First::Waits));
        assert!(matches!(duplicates.take_up(file(3, "b")), First::Move(_)));
        assert_eq!(duplicates.stored(&file(1, "a")).len(), 1);
        assert!(matches!(duplicates.take_up(file(4, "a")), First::Stored(_)));
    }

    #[test]
    fn what_an_earlier_batch_stored_is_asked_for_once() {
        let mut duplicates = Duplicates::default();
        let earlier = |id| Claimed {
            stored: true,
            lost: false,
            ..file(id, "a")
        };
        assert!(matches!(duplicates.take_up(earlier(1)), First::Presumed(_)));
        assert!(matches!(duplicates.take_up(earlier(2)), First::Waits));
        assert_eq!(duplicates.stored(&earlier(1)).len(), 1);
        assert!(matches!(duplicates.take_up(earlier(3)), First::Stored(_)));
    }

    #[test]
    fn when_the_first_fails_another_takes_its_place() {
        let mut duplicates = Duplicates::default();
        duplicates.take_up(file(1, "a"));
        duplicates.take_up(file(2, "a"));
        assert_eq!(duplicates.failed(&file(1, "a")).map(|f| f.id), Some(2));
        assert_eq!(duplicates.failed(&file(2, "a")), None);
        assert!(matches!(duplicates.take_up(file(5, "a")), First::Move(_)));
    }
}
