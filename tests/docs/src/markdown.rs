//! As much of Markdown as the documents use.

use anyhow::Result;

use crate::read;

/// A document.
pub struct Document {
    /// Its path from the project's folder.
    pub path: &'static str,
    /// Its text.
    pub text: String,
    /// Its sections, in order; what stands before the first heading has level 0.
    pub sections: Vec<Section>,
}

/// A heading, and what stands below it up to the next one.
#[derive(Debug, Default)]
pub struct Section {
    /// How many `#` it has.
    pub level: usize,
    /// The heading's text.
    pub title: String,
    /// The lines that are in no block.
    pub lines: Vec<String>,
    /// The blocks.
    pub blocks: Vec<Block>,
}

/// A block of code.
#[derive(Debug, Default)]
pub struct Block {
    /// Its language; empty if it says none.
    pub language: String,
    /// Its text, without the indentation of a list.
    pub text: String,
    /// Why it is not run, by a comment `<!-- not run: … -->` just before it.
    pub not_run: Option<String>,
}

impl Document {
    /// Reads one.
    pub fn open(path: &'static str) -> Result<Self> {
        let text = read(path)?;
        Ok(Self {
            path,
            sections: sections(&text),
            text,
        })
    }

    /// Every block.
    pub fn blocks(&self) -> impl Iterator<Item = (&Section, &Block)> {
        self.sections
            .iter()
            .flat_map(|section| section.blocks.iter().map(move |block| (section, block)))
    }

    /// The section of this title and those below it.
    pub fn chapter(&self, title: &str) -> &[Section] {
        let first = self.sections.iter().position(|s| s.title == title);
        let rest = first.and_then(|first| self.sections.get(first..));
        let Some([head, below @ ..]) = rest else {
            return &[];
        };
        let below = below
            .iter()
            .position(|s| s.level <= head.level)
            .unwrap_or(below.len());
        rest.and_then(|rest| rest.get(..=below)).unwrap_or_default()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        self.sections
            .iter()
            .map(|section| anchor(&section.title))
            .collect()
    }

    /// Where its links and pictures point, in the text and not in blocks.
    pub fn links(&self) -> Vec<String> {
        let text = self.prose();
        let ends = [("](", ')'), ("src=\"", '"')];
        ends.iter()
            .flat_map(|(begin, end)| {
                text.split(begin)
                    .skip(1)
                    .filter_map(|rest| rest.split(*end).next())
            })
            .map(str::to_owned)
            .collect()
    }

    /// Its inline code, such as `sql/01_schema.sql`.
    pub fn inline_code(&self) -> Vec<String> {
        self.sections
            .iter()
            .flat_map(Section::inline_code)
            .collect()
    }

    /// Everything that is in no block.
    pub fn prose(&self) -> String {
        let lines = self.sections.iter().flat_map(|section| {
            std::iter::once(section.title.as_str()).chain(section.lines.iter().map(String::as_str))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Section {
    /// The rows of its tables, cell by cell, without heads and rules.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let is_rule = |line: &str| line.starts_with('|') && line.contains("---");
        let mut rows = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            let next = self.lines.get(number + 1).map_or("", String::as_str);
            if line.starts_with('|') && !is_rule(line) && !is_rule(next) {
                let cells = line.trim().trim_matches('|').split(" | ");
                rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
            }
        }
        rows
    }

    /// Its inline code.
    pub fn inline_code(&self) -> Vec<String> {
        code_in(&self.lines.join("\n"))
    }
}

/// The inline code of a text.
fn code_in(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Lower case, without punctuation, a hyphen for each space.
fn anchor(title: &str) -> String {
    title
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut open: Option<(usize, Block)> = None;
    let mut not_run = None;
    for line in text.lines() {
        let indentation = line.len() - line.trim_start().len();
        let Some(section) = sections.last_mut() else {
            return sections;
        };
        if let Some((depth, block)) = &mut open {
            if line.trim() == "```" {
                section
                    .blocks
                    .push(open.take().map_or_else(Block::default, |(_, block)| block));
            } else {
                block.text.push_str(line.get(*depth..).unwrap_or_default());
                block.text.push('\n');
            }
        } else if let Some(language) = line.trim().strip_prefix("```") {
            let block = Block {
                language: language.to_owned(),
                not_run: not_run.take(),
                ..Block::default()
            };
            open = Some((indentation, block));
        } else if let Some(title) = line.strip_prefix('#') {
            let rest = title.trim_start_matches('#');
            sections.push(Section {
                level: line.len() - rest.len(),
                title: rest.trim().to_owned(),
                ..Section::default()
            });
        } else {
            let comment = line.trim().strip_prefix("<!-- not run: ");
            let why = comment.and_then(|comment| comment.strip_suffix(" -->"));
            not_run = why
                .map(str::to_owned)
                .or(not_run.filter(|_| line.is_empty()));
            section.lines.push(line.to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_blocks_and_tables_are_found() {
        let text = "# A\n| x | y |\n| --- | --- |\n| `1` | two |\n\n1. item\n\n   <!-- not run: no host -->\n   ```sh\n   ls\n   ```\n## It's B\n```\n# no heading\n```\n";
        let sections = sections(text);
        assert_eq!(sections.len(), 3);
        assert_eq!(sections[1].rows(), [["`1`", "two"]]);
        let block = &sections[1].blocks[0];
        assert_eq!(
            (block.language.as_str(), block.text.as_str()),
            ("sh", "ls\n")
        );
        assert_eq!(block.not_run.as_deref(), Some("no host"));
        assert_eq!(sections[2].blocks[0].not_run, None);
        assert_eq!(anchor(&sections[2].title), "its-b");
        assert_eq!(anchor("8. The jobs"), "8-the-jobs");
    }
}
