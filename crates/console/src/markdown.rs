//! Our own papers as HTML: headings, paragraphs, lists, code and links. Not a general reader of Markdown.

use std::fmt::Write;

/// Code that stands alone begins so.
const INDENT: &str = "    ";

/// `text` as HTML. Everything in it is escaped first; only the marks below become tags. A heading of level 1 is left
/// out, since the page has it already. A link to `NAME.md` or `NAME.zh.md` beside the paper becomes one to `beside` with
/// `NAME` for its braces.
pub(crate) fn html(text: &str, beside: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let bare = line.trim();
        if let Some(fence) = bare.strip_prefix("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|l| !l.trim_start().starts_with("```")).collect();
            let label = if fence.is_empty() { "text" } else { fence };
            let _ = write!(out, "<pre tabindex=\"0\"><code class=\"{}\">", escape(label));
            out.push_str(&escape(&code.join("\n")));
            out.push_str("</code></pre>\n");
        } else if let Some(code) = line.strip_prefix(INDENT) {
            let _ = write!(out, "<pre tabindex=\"0\"><code class=\"text\">{}", escape(code));
            while let Some(more) = lines.next_if(|l| l.starts_with(INDENT)) {
                let _ = write!(out, "\n{}", escape(&more[INDENT.len()..]));
            }
            out.push_str("</code></pre>\n");
        } else if let Some((level, heading)) = heading(bare) {
            if level > 1 {
                let _ = writeln!(out, "<h{level}>{}</h{level}>", inline(heading, beside));
            }
        } else if let Some((tag, first)) = item(bare) {
            let _ = writeln!(out, "<{tag}>");
            let mut text = first.to_string();
            while let Some(next) = lines.next_if(|l| !l.trim().is_empty() && heading(l).is_none() && !is_fence(l)) {
                match item(next.trim()) {
                    Some((_, more)) => {
                        let _ =
                            writeln!(out, "<li>{}</li>", inline(&std::mem::replace(&mut text, more.into()), beside));
                    }
                    None => append(&mut text, next.trim()),
                }
            }
            let _ = writeln!(out, "<li>{}</li>\n</{tag}>", inline(&text, beside));
        } else if !bare.is_empty() {
            let mut text = bare.to_string();
            let goes_on =
                |l: &&str| !l.trim().is_empty() && heading(l).is_none() && item(l.trim()).is_none() && !is_fence(l);
            while let Some(next) = lines.next_if(goes_on) {
                append(&mut text, next.trim());
            }
            let _ = writeln!(out, "<p>{}</p>", inline(&text, beside));
        }
    }
    out
}

/// Puts the next line of a paragraph behind `text`. Chinese has no blanks between sentences, where lines end.
pub(crate) fn append(text: &mut String, line: &str) {
    // Ideographs, their punctuation and full-width forms lie from here on.
    if text.ends_with(|c: char| c < '\u{2e80}') {
        text.push(' ');
    }
    text.push_str(line);
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

/// Level and text of `## text`.
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let text = line.get(level..)?.strip_prefix(' ')?;
    (1..=4).contains(&level).then_some((level, text.trim()))
}

/// List and text of `- text`, `* text` and `1. text`.
fn item(line: &str) -> Option<(&'static str, &str)> {
    if let Some(text) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
        return Some(("ul", text));
    }
    let (number, text) = line.split_once(". ")?;
    (!number.is_empty() && number.len() < 4 && number.bytes().all(|b| b.is_ascii_digit())).then_some(("ol", text))
}

/// Code in back quotes, `**bold**`, `*stress*` and links of one paragraph, as HTML.
pub(crate) fn inline(text: &str, beside: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(&escape(before));
        let taken = code(tail).or_else(|| bold(tail, beside)).or_else(|| stress(tail)).or_else(|| link(tail, beside));
        let (html, length) = taken.unwrap_or_else(|| (tail[..1].to_string(), 1));
        out.push_str(&html);
        rest = &tail[length..];
    }
    out.push_str(&escape(rest));
    out
}

/// The HTML of the code that begins here and its length in the source.
fn code(text: &str) -> Option<(String, usize)> {
    let (inside, _) = text.strip_prefix('`')?.split_once('`')?;
    Some((format!("<code>{}</code>", escape(inside)), inside.len() + 2))
}

fn bold(text: &str, beside: &str) -> Option<(String, usize)> {
    let (inside, _) = text.strip_prefix("**")?.split_once("**")?;
    Some((format!("<strong>{}</strong>", inline(inside, beside)), inside.len() + 4))
}

/// Words without other marks between two asterisks that stand at them.
fn stress(text: &str) -> Option<(String, usize)> {
    let (inside, _) = text.strip_prefix('*')?.split_once('*')?;
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let fits = is_word(inside.chars().next()) && is_word(inside.chars().next_back()) && !inside.contains(['`', '[']);
    fits.then(|| (format!("<em>{}</em>", escape(inside)), inside.len() + 2))
}

fn link(text: &str, beside: &str) -> Option<(String, usize)> {
    let (words, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (target, _) = rest.split_once(')')?;
    let length = 1 + words.len() + 2 + target.len() + 1;
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let words = inline(words, beside);
    let paper = target.strip_suffix(".md").map(|name| name.strip_suffix(".zh").unwrap_or(name));
    let html = match paper.filter(|name| is_name(name)) {
        Some(name) => format!("<a href=\"{}\">{words}</a>", escape(&beside.replace("{}", name))),
        None if target.starts_with("https://") => {
            format!("<a href=\"{}\" rel=\"noreferrer\">{words}</a>", escape(target))
        }
        // A paper that this server does not show.
        None => words,
    };
    Some((html, length))
}

/// Text for HTML, between tags or inside a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::show::seen(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // Forms: CommonMark 0.31, the parts that our papers use.
    #[test]
    fn the_forms_of_our_papers_become_tags() {
        let text = "# Title\n\nOne `a<b` and\n**two**.\n\n## Cause\n- first\n  goes on\n- second\n\n1. do\n2. this\n\n```sql\nselect '<';\n```\n";
        let want = "<p>One <code>a&lt;b</code> and <strong>two</strong>.</p>\n<h2>Cause</h2>\n<ul>\n<li>first goes on</li>\n\
                    <li>second</li>\n</ul>\n<ol>\n<li>do</li>\n<li>this</li>\n</ol>\n\
                    <pre tabindex=\"0\"><code class=\"sql\">select &#39;&lt;&#39;;</code></pre>\n";
        assert_eq!(html(text, "/e/{}"), want);
    }

    #[test]
    fn links_lead_to_pages_of_ours_or_to_the_outside() {
        assert_eq!(html("[x](ODPS-0130131.md)", "/e/{}"), "<p><a href=\"/e/ODPS-0130131\">x</a></p>\n");
        assert_eq!(html("[x](A-1.zh.md)", "/e/{}?a=b&c"), "<p><a href=\"/e/A-1?a=b&amp;c\">x</a></p>\n");
        assert_eq!(html("[x](a.b.md)", "/e/{}"), "<p>x</p>\n");
        assert_eq!(html("[x](../sql.md)", "/e/{}"), "<p>x</p>\n");
        assert_eq!(html("[x](javascript:alert)", "/e/{}"), "<p>x</p>\n");
        assert_eq!(
            html("[x](https://a.b/?c=\"d)", "/e/{}"),
            "<p><a href=\"https://a.b/?c=&quot;d\" rel=\"noreferrer\">x</a></p>\n"
        );
    }

    #[test]
    fn lines_of_chinese_are_joined_without_a_blank() {
        let text = "第一句。\n第二句\n`a` 和 b\nc。\n\n- 一，\n  二\n";
        assert_eq!(html(text, ""), "<p>第一句。第二句<code>a</code> 和 b c。</p>\n<ul>\n<li>一，二</li>\n</ul>\n");
    }

    #[test]
    fn marks_that_are_not_closed_are_text() {
        for (text, want) in [
            ("a ` b", "<p>a ` b</p>\n"),
            ("2 * 3 ** 4", "<p>2 * 3 ** 4</p>\n"),
            ("COUNT(*) and *c* of a*", "<p>COUNT(*) and <em>c</em> of a*</p>\n"),
            ("[a](b", "<p>[a](b</p>\n"),
            ("<script>", "<p>&lt;script&gt;</p>\n"),
            ("```\nopen", "<pre tabindex=\"0\"><code class=\"text\">open</code></pre>\n"),
            ("    a < b\n    c\n", "<pre tabindex=\"0\"><code class=\"text\">a &lt; b\nc</code></pre>\n"),
            ("", ""),
        ] {
            assert_eq!(html(text, "/e/{}"), want);
        }
    }
}
