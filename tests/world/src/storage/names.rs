//! Which names objects may have.

use super::Etags;
use super::answers::Refusal;

/// Signs that a key may hold beside letters and digits.
const SIGNS: &[u8] = b" !$&'()*+,-./:;=?@_";
/// Stands for an empty folder, and has to be empty itself.
pub(crate) const PLACEHOLDER: &str = ".emptyFolderPlaceholder";
/// The file backend cannot store a longer path segment.
const SEGMENT_BYTES: usize = 255;

/// Refuses what Storage would refuse, and where files are behind what they cannot be called.
pub(crate) fn check(name: &str, etags: Etags) -> Result<(), Refusal> {
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || SIGNS.contains(&byte))
    {
        return Err(Refusal::key(name));
    }
    if etags == Etags::Multipart {
        return Ok(());
    }
    // No way leads out of the folder.
    if name.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Refusal::key(&format!("{name} contains dot path segment")));
    }
    if name.split('/').any(|segment| segment.len() > SEGMENT_BYTES) {
        return Err(Refusal::internal());
    }
    Ok(())
}

/// Whether a path, its percent-encoding undone, is UTF-8.
pub(crate) fn is_text(path: &str) -> bool {
    String::from_utf8(bytes_of(path)).is_ok()
}

/// Undoes the percent-encoding of a path.
pub(crate) fn decode(path: &str) -> String {
    String::from_utf8_lossy(&bytes_of(path)).into_owned()
}

fn bytes_of(path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let encoded = (*first == b'%')
            .then(|| {
                after
                    .get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok())
            })
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(encoded.unwrap_or(*first));
        rest = if encoded.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_refused_as_the_real_storage_refuses_them() {
        for good in ["0d/0d10d65a", "a b!$&'()*+,-./:;=?@_", "UPPER_lower.9"] {
            assert_eq!(check(good, Etags::Md5), Ok(()), "{good}");
        }
        for bad in "\"#%<>[\\]^{|}~`é№\u{7}".chars() {
            let name = format!("u/{bad}.pdf");
            assert_eq!(check(&name, Etags::Md5), Err(Refusal::key(&name)), "{name}");
        }
        assert_eq!(
            check(&format!("a/{}", "x".repeat(256)), Etags::Md5),
            Err(Refusal::internal())
        );
    }

    #[test]
    fn percent_signs_are_undone() {
        assert_eq!(decode("u/caf%C3%A9%20%23.pdf"), "u/café #.pdf");
        assert_eq!(decode("50%"), "50%");
    }
}
