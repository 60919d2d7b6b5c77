//! `feitian explain`: the page about an error code, from the program itself.

use std::io::Write;

use feitian_base::codes::{self, Explanation, Page};
use serde_json::{Map, Value};

use crate::cli::{ExplainArgs, Language};
use crate::failure::{Answer, Failure, Result};
use crate::output::{self, Field, Format, Shown, field};

const LIST_FIELDS: [Field; 2] = [field("code", "CODE", Shown::Text), field("title", "TITLE", Shown::Text)];

const FIELDS: [Field; 3] =
    [field("code", "CODE", Shown::Text), field("title", "TITLE", Shown::Text), field("text", "TEXT", Shown::Text)];

/// Codes that are offered for one that is unknown.
const MOST_OFFERED: usize = 3;

pub(crate) fn run(args: &ExplainArgs, out: &mut dyn Write) -> Result<Answer> {
    let format = if args.json { Format::Json } else { args.output };
    if args.code.is_empty() {
        let items: Vec<_> = codes::all().iter().map(|page| item(page, args.lang)).collect();
        output::list(out, format, &LIST_FIELDS, &items)?;
        return Ok(Answer::Done);
    }
    let wanted = args.code.join(" ");
    let page = codes::explain(&wanted).ok_or_else(|| unknown(&wanted))?;
    match format {
        // A table would put the page into one of its cells.
        Format::Table => out.write_all(words(page, args.lang).text.as_bytes())?,
        _ => output::object(out, format, &FIELDS, &item(page, args.lang))?,
    }
    Ok(Answer::Done)
}

fn words(page: &Page, language: Language) -> Explanation {
    match language {
        Language::En => page.en,
        Language::Zh => page.zh,
    }
}

fn item(page: &Page, language: Language) -> Map<String, Value> {
    let Explanation { title, text } = words(page, language);
    let fields = [("code", page.code), ("title", title), ("text", text)];
    fields.into_iter().map(|(key, value)| (key.to_string(), Value::from(value))).collect()
}

fn unknown(wanted: &str) -> Failure {
    let shown: String = wanted.chars().take(100).collect();
    let failure = Failure::negative(format!("there is no page about `{shown}`"));
    match resembling(wanted).as_slice() {
        [] => failure.hint("`feitian explain` lists every code"),
        near => failure.hint(format!("did you mean {}? `feitian explain` lists every code", near.join(", "))),
    }
}

/// The codes most like `wanted`, best first.
fn resembling(wanted: &str) -> Vec<&'static str> {
    let wanted = wanted.trim().to_ascii_lowercase();
    let alike = |code: &str| strsim::normalized_damerau_levenshtein(&wanted, &code.to_ascii_lowercase());
    let mut near: Vec<_> = codes::all().iter().map(|page| (alike(page.code), page.code)).collect();
    near.retain(|(score, _)| *score >= 0.6);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(MOST_OFFERED).map(|(_, code)| code).collect()
}

#[cfg(test)]
mod tests {
    use super::resembling;

    #[test]
    fn a_misspelt_code_finds_its_neighbours_and_nonsense_finds_none() {
        assert_eq!(resembling("NoSuchTabel").first(), Some(&"NoSuchTable"));
        assert_eq!(resembling("odps-013O131").first(), Some(&"ODPS-0130131"));
        assert_eq!(resembling("ODPS-0130132").len(), super::MOST_OFFERED);
        assert!(resembling("frobnicate").is_empty());
    }
}
