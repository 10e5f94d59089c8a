//! The few forms of Markdown that our documentation of the method has, as HTML.

/// Text that may stand in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Headings, paragraphs, lists, and blocks of code; within a line emphasis and code. Links lose their target.
pub(super) fn html(text: &str) -> String {
    let blocks =
        text.split("\n\n").map(|block| block.trim_end_matches('\n')).filter(|block| !block.is_empty());
    blocks.map(block).collect()
}

fn block(block: &str) -> String {
    let hashes = block.len() - block.trim_start_matches('#').len();
    if hashes > 0 {
        let level = (hashes + 1).min(6);
        return format!("<h{level}>{}</h{level}>\n", line(block[hashes..].trim()));
    }
    if block.starts_with("    ") {
        let code: Vec<_> = block.lines().map(str::trim).collect();
        return format!("<pre>{}</pre>\n", escape(&code.join("\n")));
    }
    if let Some(items) = block.strip_prefix("- ") {
        let items = items.split("\n- ").map(|item| format!("<li>{}</li>\n", line(item)));
        return format!("<ul>\n{}</ul>\n", items.collect::<String>());
    }
    format!("<p>{}</p>\n", line(block))
}

fn line(text: &str) -> String {
    let text = between(&escape(text), "**", "b");
    without_targets(&between(&text, "`", "code"))
}

/// Every other piece between `mark` in an element.
fn between(text: &str, mark: &str, element: &str) -> String {
    let pieces = text.split(mark).enumerate();
    pieces
        .map(
            |(at, piece)| {
                if at % 2 == 1 { format!("<{element}>{piece}</{element}>") } else { piece.to_owned() }
            },
        )
        .collect()
}

/// `[words](target)` as `words`.
fn without_targets(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, found)) = rest.split_once('[') {
        out.push_str(before);
        match found.split_once("](").and_then(|(words, after)| Some((words, after.split_once(')')?.1))) {
            Some((words, after)) => {
                out.push_str(words);
                rest = after;
            }
            None => {
                out.push('[');
                rest = found;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_what_it_should_be() {
        let text =
            "# A & b\n\nOne **two** `x<y`\nthree [four](http://five).\n\n- a\n- b\n  c\n\n    code <1>\n";
        let expected = "<h2>A &amp; b</h2>\n<p>One <b>two</b> <code>x&lt;y</code>\nthree four.</p>\n\
                        <ul>\n<li>a</li>\n<li>b\n  c</li>\n</ul>\n<pre>code &lt;1&gt;</pre>\n";
        assert_eq!(html(text), expected);
    }
}
