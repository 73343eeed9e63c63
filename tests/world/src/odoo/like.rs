//! What a text is like.

/// SQL's LIKE: `%` is anything, `_` is any character, a backslash takes the next one as it is.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    let (mut rest, mut pattern) = (text.chars(), pattern.chars());
    // Where the last `%` was, to try again one character further on.
    let mut retry = None;
    loop {
        let wanted = match pattern.next() {
            Some('%') => {
                if pattern.as_str().is_empty() {
                    return true;
                }
                retry = Some((rest.clone(), pattern.clone()));
                continue;
            }
            Some('\\') => pattern.next().map(Some),
            Some('_') => Some(None),
            Some(letter) => Some(Some(letter)),
            None => None,
        };
        let found = rest.next();
        let fits = match (wanted, found) {
            (None, None) => return true,
            (Some(wanted), Some(found)) => wanted.is_none_or(|wanted| wanted == found),
            _ => false,
        };
        if fits {
            continue;
        }
        let Some((mut text, after)) = retry.take() else {
            return false;
        };
        if text.next().is_none() {
            return false;
        }
        rest = text.clone();
        pattern = after.clone();
        retry = Some((text, after));
    }
}
