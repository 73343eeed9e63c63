//! Converts HTML to plain text, and plain text to HTML.

/// The plain text of cleaned HTML: a line per block, single spaces, no tags.
pub(super) fn text(html: &str) -> String {
    let mut said = Lines::default();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        said.push(before);
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        rest = after;
        let name = tag
            .trim_start_matches('/')
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "td" | "th" | "img" => said.space(),
            "a" | "b" | "i" | "u" | "s" | "em" | "strong" | "span" | "font" | "small" | "sub"
            | "sup" | "code" | "mark" | "abbr" | "del" | "ins" => {}
            _ => said.line(),
        }
    }
    said.push(rest);
    said.text
}

#[derive(Default)]
struct Lines {
    text: String,
    /// The separator due before the next word.
    due: Option<char>,
}

impl Lines {
    fn space(&mut self) {
        self.due = self.due.or(Some(' '));
    }

    fn line(&mut self) {
        self.due = Some('\n');
    }

    fn push(&mut self, html: &str) {
        let mut rest = html;
        while let Some(first) = rest.chars().next() {
            let (letter, length) = match first {
                '&' => entity(rest),
                letter => (letter, letter.len_utf8()),
            };
            rest = rest.get(length..).unwrap_or_default();
            if letter.is_whitespace() {
                self.space();
            } else if letter != '\0' {
                if let Some(due) = self.due.take()
                    && !self.text.is_empty()
                {
                    self.text.push(due);
                }
                self.text.push(letter);
            }
        }
    }
}

/// The character of an entity, and the entity's length. Cleaned HTML has no others.
fn entity(html: &str) -> (char, usize) {
    [
        ("&amp;", '&'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&quot;", '"'),
        ("&#39;", '\''),
        ("&nbsp;", ' '),
    ]
    .into_iter()
    .find(|(name, _)| html.starts_with(name))
    .map_or(('&', 1), |(name, letter)| (letter, name.len()))
}

/// Plain text as HTML that looks the same.
pub(super) fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '\n' => html.push_str("<br>\n"),
            '\r' | '\0' => {}
            letter => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_looks_like_itself() {
        assert_eq!(
            html("a < b & c\r\n<script>x</script>"),
            "a &lt; b &amp; c<br>\n&lt;script&gt;x&lt;/script&gt;"
        );
    }

    proptest! {
        #[test]
        fn what_a_text_says_is_what_it_said(said in "[a-z<>&;\"' \n]{0,40}") {
            let lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            let said: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(text(&html(&said.join("\n"))), said.join("\n"));
        }

        #[test]
        fn no_text_makes_it_panic(said in ".*") {
            text(&said);
            text(&html(&said));
        }
    }
}
