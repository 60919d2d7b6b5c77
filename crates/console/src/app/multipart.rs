//! The parts of a form that holds a file (`multipart/form-data`, RFC 7578), read from the whole body.

use bytes::Bytes;
use feitian_base::{Error, Result};

/// One field of the form.
pub(super) struct Part {
    pub name: String,
    /// None for a field that is no file.
    pub file_name: Option<String>,
    pub content: Bytes,
}

/// More fields than this have no form of ours.
const MOST_PARTS: usize = 32;

/// The parts of `body`, whose `Content-Type` header is `content_type`.
pub(super) fn parts(content_type: &str, body: &Bytes) -> Result<Vec<Part>> {
    let boundary = boundary(content_type).ok_or_else(|| broken("its header names no boundary"))?;
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter stands at the beginning, without an end of line before it.
    let first = &delimiter.as_bytes()[2..];
    let mut at = match body.starts_with(first) {
        true => first.len(),
        false => find(body, 0, delimiter.as_bytes()).ok_or_else(|| broken("it has no part"))? + delimiter.len(),
    };
    let mut parts = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == MOST_PARTS {
            return Err(broken("it has too many parts"));
        }
        // Blanks may follow a delimiter.
        let line = find(body, at, b"\r\n").ok_or_else(|| broken("it ends inside a part"))?;
        let head_end = find(body, line, b"\r\n\r\n").ok_or_else(|| broken("a part has no end of its head"))?;
        let start = head_end + 4;
        // An empty part has its delimiter right behind the blank line.
        let end = find(body, head_end + 2, delimiter.as_bytes()).ok_or_else(|| broken("it ends inside a part"))?;
        let head = String::from_utf8_lossy(&body[line..head_end]);
        parts.push(part(&head, body.slice(start.min(end)..end.max(start.min(end))))?);
        at = end + delimiter.len();
    }
}

fn part(head: &str, content: Bytes) -> Result<Part> {
    let disposition = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
        .map(|(_, value)| value)
        .ok_or_else(|| broken("a part has no Content-Disposition"))?;
    let name = parameter(disposition, "name").ok_or_else(|| broken("a part has no name"))?;
    Ok(Part { name, file_name: parameter(disposition, "filename"), content })
}

fn boundary(content_type: &str) -> Option<String> {
    let kind = content_type.split(';').next()?.trim();
    let boundary = parameter(content_type, "boundary")?;
    let fits = kind.eq_ignore_ascii_case("multipart/form-data") && (1..=70).contains(&boundary.len());
    fits.then_some(boundary)
}

/// A parameter of a header: `name=value` or `name="value"`. Browsers write a quote inside as `%22` (HTML standard,
/// "multipart/form-data encoding algorithm").
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, tail) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim(), &after[end..])
            }
        };
        if name.trim().trim_start_matches(';').trim().eq_ignore_ascii_case(wanted) {
            return Some(value.replace("%22", "\""));
        }
        rest = tail.trim_start().strip_prefix(';').unwrap_or(tail);
    }
}

/// The first place at or after `from` where `needle` begins.
fn find(hay: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay.get(from..)?, needle).map(|at| from + at)
}

fn broken(why: &str) -> Error {
    Error::invalid(format!("the body is no form with a file: {why}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=AaB03x";

    fn read(content_type: &str, body: &str) -> Result<Vec<(String, Option<String>, String)>> {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let parts = parts(content_type, &Bytes::from(body.to_string()))?;
        Ok(parts.into_iter().map(|p| (p.name, p.file_name, text(&p.content))).collect())
    }

    // HTML 4.01, section 17.13.4.2: the example of a form with a text and a file.
    #[test]
    fn fields_and_files_come_apart() {
        let body = "--AaB03x\r\nContent-Disposition: form-data; name=\"submit-name\"\r\n\r\nLarry\r\n\
                    --AaB03x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"file1.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\na,b\r\n1,2\r\n\r\n--AaB03x--\r\n";
        let want = [
            ("submit-name".to_string(), None, "Larry".to_string()),
            ("files".to_string(), Some("file1.txt".to_string()), "a,b\r\n1,2\r\n".to_string()),
        ];
        assert_eq!(read(TYPE, body).unwrap(), want);
        assert_eq!(read("multipart/form-data; boundary=\"AaB03x\"", body).unwrap(), want);
    }

    #[test]
    fn empty_fields_and_odd_names_are_kept() {
        let body = "--AaB03x\r\ncontent-disposition: form-data; filename=\"\"; name=\"a%22;b\"\r\n\r\n\r\n--AaB03x--";
        assert_eq!(read(TYPE, body).unwrap(), [("a\";b".to_string(), Some(String::new()), String::new())]);
    }

    #[test]
    fn what_is_no_form_is_refused_and_nothing_panics() {
        let whole = "--AaB03x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--AaB03x--";
        for end in 0..whole.len() - 2 {
            assert!(read(TYPE, &whole[..end]).is_err(), "{end}");
        }
        for (kind, body) in [
            ("text/plain", whole),
            ("multipart/form-data", whole),
            ("multipart/form-data; boundary=", whole),
            ("multipart/form-data; boundary=other", whole),
            (TYPE, "--AaB03x\r\nX: y\r\n\r\nx\r\n--AaB03x--"),
            (TYPE, "--AaB03x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--AaB03x--"),
            (TYPE, "--AaB03x\r\n\r\n\r\n--AaB03x--"),
        ] {
            assert!(read(kind, body).is_err(), "{kind} {body:?}");
        }
        let many = "--AaB03x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n".repeat(40);
        assert!(read(TYPE, &format!("{many}--AaB03x--")).is_err());
    }
}
