//! What a page of `docs/` shows, for tests that do word for word what it says.

use anyhow::{Context, Result};

/// What stands under the heading `## title`, up to the next one.
///
/// # Errors
/// The page has no such heading.
pub fn section<'p>(page: &'p str, title: &str) -> Result<&'p str> {
    let heading = format!("## {title}\n");
    let rest = page.split(&heading).nth(1).with_context(|| format!("no heading {title:?}"))?;
    Ok(rest.split("\n## ").next().unwrap_or_default())
}

/// The `number`th block of this language, counted from 0, without its fences.
///
/// # Errors
/// There are not so many.
pub fn block<'p>(text: &'p str, language: &str, number: usize) -> Result<&'p str> {
    let start = format!("```{language}\n");
    let block = text.split(&start).nth(number + 1).and_then(|rest| rest.split("```").next());
    block.with_context(|| format!("no block {number} of {language}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# P\n```sh\na\n```\n## One\nwords\n```sh\nb\n```\n```sh\nc\nd\n```\n## Two\n```toml\ne\n```\n";

    #[test]
    fn a_section_ends_at_the_next_and_blocks_are_counted_by_language() {
        let one = section(PAGE, "One").unwrap();
        assert_eq!(block(one, "sh", 0).unwrap(), "b\n");
        assert_eq!(block(one, "sh", 1).unwrap(), "c\nd\n");
        assert!(block(one, "sh", 2).is_err() && block(one, "toml", 0).is_err());
        assert_eq!(block(section(PAGE, "Two").unwrap(), "toml", 0).unwrap(), "e\n");
        assert!(section(PAGE, "Three").is_err());
    }
}
