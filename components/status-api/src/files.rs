//! `GET /status/files`: the files that wait for a person, in pages.

use fault::remedy;
use ledger::status::{FileForPeople, FilesForPeople, FilesOfKind};
use serde::Serialize;

/// Default and maximum number of files per page.
const PAGE: u32 = 100;
const MOST: u32 = 500;

/// The query: which files are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// Only this kind; `None`: all kinds.
    pub kind: Option<&'a str>,
    /// Only ids above this one.
    pub after_id: i64,
    /// Maximum number of files.
    pub most: u32,
}

impl<'a> Page<'a> {
    /// Parses a query string; an error names the key.
    pub fn parse(query: &'a str) -> Result<Self, &'static str> {
        let mut page = Self {
            kind: None,
            after_id: 0,
            most: PAGE,
        };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "kind" if value.is_empty() => {}
                "kind" if value.len() <= 100 && value.bytes().all(is_of_a_kind) => {
                    page.kind = Some(value);
                }
                "kind" => return Err("kind: the kind of a failure, as in docs/troubleshooting.md"),
                "after" => {
                    let after = value.parse().ok().filter(|id| *id >= 0);
                    page.after_id = after.ok_or("after: an id, as next_after says it")?;
                }
                "limit" => {
                    let most = value.parse().ok().filter(|most| (1..=MOST).contains(most));
                    page.most = most.ok_or("limit: a number from 1 to 500")?;
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// The response for this page.
    pub fn of(&self, read: FilesForPeople) -> Listed {
        let is_full = u32::try_from(read.files.len()).is_ok_and(|files| files >= self.most);
        let last = read.files.last().map(|file| file.id);
        Listed {
            next_after: last.filter(|_| is_full),
            files: read.files.into_iter().map(with_remedy).collect(),
            kinds: read.kinds,
        }
    }
}

fn is_of_a_kind(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_lowercase()
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    files: Vec<FileForPeople>,
    kinds: Vec<FilesOfKind>,
    next_after: Option<i64>,
}

/// Prefers the remedy of the failure's kind, which says more than the database's remedy for dead files.
fn with_remedy(file: FileForPeople) -> FileForPeople {
    let of_kind = remedy(&file.kind).map(str::to_owned);
    FileForPeople {
        remedy: of_kind.or(file.remedy),
        ..file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: i64, kind: &str) -> FileForPeople {
        FileForPeople {
            id,
            name: "a.pdf".to_owned(),
            res_model: None,
            res_id: None,
            file_size: 1,
            state: "dead".to_owned(),
            kind: kind.to_owned(),
            blame: None,
            message: None,
            failed_at: None,
            deleted_at: None,
            accepted_by: None,
            remedy: Some("as the database says".to_owned()),
        }
    }

    #[test]
    fn a_query_says_which_and_what_is_wrong_with_it_is_told_by_name() {
        let all = Page {
            kind: None,
            after_id: 0,
            most: 100,
        };
        assert_eq!(Page::parse(""), Ok(all.clone()));
        assert_eq!(Page::parse("kind=&other=1&flag"), Ok(all));
        let some = Page {
            kind: Some("too_large"),
            after_id: 7,
            most: 500,
        };
        assert_eq!(Page::parse("kind=too_large&after=7&limit=500"), Ok(some));
        for (query, key) in [
            ("kind=a%20b", "kind"),
            ("after=-1", "after"),
            ("after=x", "after"),
            ("limit=0", "limit"),
            ("limit=501", "limit"),
        ] {
            let refusal = Page::parse(query).unwrap_err();
            assert!(refusal.starts_with(key), "{query}: {refusal}");
        }
    }

    #[test]
    fn a_full_page_says_where_the_next_begins_and_each_file_what_to_do() {
        let page = Page {
            most: 2,
            ..Page::parse("").unwrap()
        };
        let read = |files| FilesForPeople {
            files,
            kinds: Vec::new(),
        };
        let full = page.of(read(vec![file(3, "too_large"), file(9, "no such kind")]));
        assert_eq!(full.next_after, Some(9));
        let remedies: Vec<_> = full.files.iter().map(|file| file.remedy.clone()).collect();
        assert_eq!(remedies[0].as_deref(), remedy("too_large"));
        assert_eq!(remedies[1].as_deref(), Some("as the database says"));
        assert_eq!(page.of(read(vec![file(3, "x")])).next_after, None);
    }
}
