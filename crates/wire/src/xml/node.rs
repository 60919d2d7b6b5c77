//! A small document tree, read under limits that no document of ours comes near.

use feitian_base::{Error, Kind, Result};
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// Elements nested deeper are refused.
const MAX_DEPTH: usize = 64;
/// Documents with more elements are refused.
const MAX_NODES: usize = 100_000;
/// Larger documents are refused. A query is at most 2 MiB in MaxCompute; settings and policies are far smaller.
const MAX_BYTES: usize = 16 << 20;

/// An element with its attributes, children and text. Names are as written, namespaces are not interpreted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    pub name: String,
    /// In document order.
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Node>,
    /// Text and CDATA between the tags, without that of the children.
    pub text: String,
    /// The CDATA sections alone; `None` if there is none.
    pub cdata: Option<String>,
    /// Where the element stands in the document, in bytes.
    pub span: std::ops::Range<usize>,
}

/// The error for a document that is not what it should be: 400 in HTTP.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

impl Node {
    /// Parses a document of UTF-8 text and gives its root element.
    ///
    /// At most 16 MiB, 64 levels and 100,000 elements; a document type declaration and entities other than the five of
    /// XML are refused. Errors are [`Kind::Invalid`] with code `InvalidParameter` and name the byte.
    pub fn parse(body: &[u8]) -> Result<Self> {
        if body.len() > MAX_BYTES {
            return Err(invalid(format!("the XML document has {} bytes, more than {MAX_BYTES}", body.len())));
        }
        let text = std::str::from_utf8(body)
            .map_err(|e| invalid(format!("the XML document is not UTF-8 at byte {}", e.valid_up_to())))?;
        // The reader would skip a byte order mark, too, but not count it.
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        Builder { base: text.len() - rest.len(), ..Builder::default() }.run(rest)
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The text of the first child of this name, without blanks around it; `None` if there is no such child.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.trim())
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The CDATA sections if they hold all that matters (indentation around them does not), else all text, untrimmed.
    pub fn literal(&self) -> &str {
        let around = self.text.chars().filter(|c| !c.is_whitespace()).count();
        match &self.cdata {
            Some(cdata) if around == cdata.chars().filter(|c| !c.is_whitespace()).count() => cdata,
            _ => &self.text,
        }
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Node>,
    root: Option<Node>,
    nodes: usize,
    /// Where the text begins in the document.
    base: usize,
}

impl Builder {
    fn run(mut self, text: &str) -> Result<Node> {
        let mut reader = Reader::from_str(text);
        loop {
            let start = self.base + reader.buffer_position() as usize;
            let event = reader.read_event().map_err(|e| at(reader.error_position() as usize, e))?;
            let end = self.base + reader.buffer_position() as usize;
            match event {
                Event::Start(tag) => self.start(&tag, start).map_err(|e| at(start, e))?,
                Event::Empty(tag) => {
                    self.start(&tag, start).map_err(|e| at(start, e))?;
                    self.end(end).map_err(|e| at(start, e))?;
                }
                Event::End(_) => self.end(end).map_err(|e| at(start, e))?,
                Event::Text(piece) => self.text(&piece.xml10_content()).map_err(|e| at(start, e))?,
                Event::CData(piece) => self.cdata(&piece.xml10_content()).map_err(|e| at(start, e))?,
                Event::GeneralRef(reference) => {
                    let c = resolve(&reference).map_err(|e| at(start, e))?;
                    self.text(c.encode_utf8(&mut [0; 4])).map_err(|e| at(start, e))?;
                }
                Event::Decl(decl) => {
                    let encoding = decl.encoding().transpose().ok().flatten().unwrap_or("utf-8".into());
                    if !encoding.eq_ignore_ascii_case("utf-8") {
                        return Err(at(start, format_args!("encoding {encoding} is not UTF-8")));
                    }
                }
                Event::DocType(_) => return Err(at(start, "a document type declaration is not allowed")),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        if let Some(node) = self.open.last() {
            return Err(at(text.len(), format_args!("<{}> is not closed", node.name)));
        }
        self.root.ok_or_else(|| invalid("the XML document is empty"))
    }

    fn start(&mut self, tag: &BytesStart<'_>, at: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} elements"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels of elements"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err("a second root element".into());
        }
        let mut node = Node { name: name_of(tag), span: at..at, ..Node::default() };
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?;
            node.attributes.push((attribute.key.as_ref().to_string(), value.into_owned()));
        }
        self.open.push(node);
        Ok(())
    }

    fn end(&mut self, at: usize) -> Result<(), String> {
        let Some(mut node) = self.open.pop() else { return Err("a closing tag without an opening one".into()) };
        node.span.end = at;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn text(&mut self, piece: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(node) => node.text.push_str(piece),
            None if piece.trim().is_empty() => {}
            None => return Err("text outside the root element".into()),
        }
        Ok(())
    }

    fn cdata(&mut self, piece: &str) -> Result<(), String> {
        self.text(piece)?;
        match self.open.last_mut() {
            Some(node) => node.cdata.get_or_insert_default().push_str(piece),
            None => return Err("text outside the root element".into()),
        }
        Ok(())
    }
}

fn name_of(tag: &BytesStart<'_>) -> String {
    tag.name().as_ref().to_string()
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(c) = reference.resolve_char_ref().map_err(|e| e.to_string())? {
        return Ok(c);
    }
    match reference.as_ref() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        other => Err(format!("entity &{other}; is unknown")),
    }
}

fn at(position: usize, reason: impl std::fmt::Display) -> Error {
    invalid(format!("the XML document is not well-formed at byte {position}: {reason}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_cdata_and_references_come_out_as_written() {
        let doc = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c --><a k='1 &lt; &#x32;'>x&amp;&#x4e2d;<b/>y\
                   <![CDATA[<z>&amp;]]></a>\n";
        let node = Node::parse(doc.as_bytes()).unwrap();
        assert_eq!((node.name.as_str(), node.attribute("k")), ("a", Some("1 < 2")));
        assert_eq!(node.text, "x&中y<z>&amp;");
        assert_eq!(node.cdata.as_deref(), Some("<z>&amp;"));
        assert_eq!(node.literal(), node.text);
        assert_eq!(&doc[node.children[0].span.clone()], "<b/>");
        let padded = Node::parse(b"<q>\n  <![CDATA[ select 1;\n]]>\n</q>").unwrap();
        assert_eq!(padded.literal(), " select 1;\n");
    }

    // The entity bomb is the classic "billion laughs".
    #[test]
    fn hostile_documents_are_refused() {
        let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
        let wide = format!("<a>{}</a>", "<b/>".repeat(200_000));
        let bomb = "<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
        for doc in [
            &deep,
            &wide,
            bomb,
            "<a>&b;</a>",
            "<a/><b/>",
            "<a>",
            "</a>",
            "<a></b>",
            "",
            "text",
            "<a/>text",
            "<a k=1/>",
            "<a k='1' k='2'/>",
            "<a>&#0;</a>",
            "<a>&#x110000;</a>",
            "<a>& </a>",
            "<?xml version='1.0' encoding='gbk'?><a/>",
        ] {
            let e = Node::parse(doc.as_bytes()).expect_err(&doc[..doc.len().min(40)]);
            assert_eq!((e.kind(), e.code()), (Kind::Invalid, "InvalidParameter"));
        }
        assert!(Node::parse(b"<a>\xff</a>").is_err());
        assert!(Node::parse(&vec![b' '; MAX_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_an_error(body in "[<>/a&;#x \\[\\]!\\-CDATA'\"=?]{0,60}") {
            let _ = Node::parse(body.as_bytes());
        }
    }
}
