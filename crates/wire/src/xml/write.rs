//! Building documents: elements, escaping, CDATA.

/// The declaration in front of every document.
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// An element under construction. Names must be XML names; values may be any text.
#[derive(Debug, Clone)]
pub struct Element {
    name: &'static str,
    attributes: String,
    content: String,
}

impl Element {
    /// An empty element.
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: String::new(), content: String::new() }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attr(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.attributes.push(' ');
        self.attributes.push_str(name);
        self.attributes.push_str("=\"");
        escape(&value.to_string(), &mut self.attributes);
        self.attributes.push('"');
        self
    }

    /// Adds an element inside.
    #[must_use]
    pub fn child(mut self, child: Element) -> Self {
        child.write(&mut self.content);
        self
    }

    /// Adds elements inside.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        children.into_iter().for_each(|child| child.write(&mut self.content));
        self
    }

    /// Adds an element with nothing but text.
    #[must_use]
    pub fn leaf(self, name: &'static str, text: impl std::fmt::Display) -> Self {
        self.child(Element::new(name).text(text))
    }

    /// Adds an element with nothing but text, if there is one.
    #[must_use]
    pub fn maybe(self, name: &'static str, text: Option<impl std::fmt::Display>) -> Self {
        match text {
            Some(text) => self.leaf(name, text),
            None => self,
        }
    }

    /// Adds text, escaped.
    #[must_use]
    pub fn text(mut self, text: impl std::fmt::Display) -> Self {
        escape(&text.to_string(), &mut self.content);
        self
    }

    /// Adds text as CDATA, which readers like for JSON and SQL. `]]>` is split over two sections.
    #[must_use]
    pub fn cdata(mut self, text: &str) -> Self {
        self.content.push_str("<![CDATA[");
        let safe: String = text.chars().map(legal).collect();
        self.content.push_str(&safe.replace("]]>", "]]]]><![CDATA[>"));
        self.content.push_str("]]>");
        self
    }

    /// Adds an element that is XML text already, for example one that a client sent.
    #[must_use]
    pub fn raw(mut self, xml: &str) -> Self {
        self.content.push_str(xml);
        self
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(self.name);
        out.push_str(&self.attributes);
        if self.content.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        out.push_str(&self.content);
        out.push_str("</");
        out.push_str(self.name);
        out.push('>');
    }

    /// The document with this element as its root.
    pub fn document(&self) -> String {
        let mut out = String::with_capacity(DECLARATION.len() + self.content.len() + 64);
        out.push_str(DECLARATION);
        self.write(&mut out);
        out
    }
}

/// XML 1.0 has no way to write most control characters, not even as references.
fn legal(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => c,
        _ => '\u{fffd}',
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A reader would turn a bare one into a line feed.
            '\r' => out.push_str("&#13;"),
            c => out.push(legal(c)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::Node;
    use super::*;

    #[test]
    fn elements_nest_and_close() {
        let doc = Element::new("A").attr("k", "\"<").leaf("B", 1).child(Element::new("C")).maybe("D", None::<&str>);
        let want = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A k=\"&quot;&lt;\"><B>1</B><C/></A>";
        assert_eq!(doc.document(), want);
        let doc = Element::new("A").cdata("x]]>y").document();
        assert_eq!(doc.lines().last().unwrap(), "<A><![CDATA[x]]]]><![CDATA[>y]]></A>");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "\\PC*", cdata in "[\\]>\\[a<&]*") {
            let doc = Element::new("A").attr("k", &text).leaf("T", &text).child(Element::new("C").cdata(&cdata));
            let node = Node::parse(doc.document().as_bytes()).unwrap();
            prop_assert_eq!(node.attribute("k"), Some(text.as_str()));
            prop_assert_eq!(&node.children[0].text, &text);
            prop_assert_eq!(node.children[1].literal(), cdata);
        }

        #[test]
        fn no_text_breaks_the_document(text in any::<String>()) {
            let doc = Element::new("A").attr("k", &text).leaf("T", &text).child(Element::new("C").cdata(&text));
            prop_assert!(Node::parse(doc.document().as_bytes()).is_ok());
        }
    }
}
