//! Which language a page speaks: what its address says, else what the browser prefers.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE as COOKIE_HEADER};
use feitian_api::Call;
use feitian_base::codes::{Explanation, Page};
use feitian_base::{Error, Kind, Result};

use crate::words::{EN, Words, ZH};

/// The cookie that keeps the choice of a language, as its tag.
pub(crate) const COOKIE: &str = "feitian_lang";

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    En,
    Zh,
}

impl Lang {
    /// The language of a request: its parameter `lang`, else the choice of before, else its `Accept-Language`, else
    /// English.
    pub(crate) fn of(call: &Call) -> Result<Self> {
        match call.query.get("lang") {
            Some(tag) => Self::of_tag(tag).ok_or_else(|| {
                let message = format!("query parameter 'lang' must be en or zh, not '{tag}'");
                Error::new(Kind::Invalid, "InvalidParameter", message)
            }),
            None => Ok(Self::of_headers(&call.headers)),
        }
    }

    /// The language of a request whose address names none: what was chosen before, else its `Accept-Language`.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let remembered = || {
            let pairs = headers.get_all(COOKIE_HEADER).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
            let mut pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
            pairs.find(|(name, _)| *name == COOKIE).and_then(|(_, tag)| Self::of_tag(tag))
        };
        let preferred = || {
            let header = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
            Self::preferred(header.unwrap_or_default())
        };
        remembered().unwrap_or_else(preferred)
    }

    /// The texts of the pages in this language.
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }

    /// What a page about an error code says in this language.
    pub(crate) fn explanation(self, page: &Page) -> Explanation {
        match self {
            Self::En => page.en,
            Self::Zh => page.zh,
        }
    }

    /// The value of `lang` that asks for this language.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The other language.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::En => Self::Zh,
            Self::Zh => Self::En,
        }
    }

    /// `zh`, `zh-CN` and `zh-Hans` are Chinese, `en` and `en-GB` English, whatever the case of their letters.
    fn of_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    /// The first of ours in the order of an `Accept-Language` (RFC 9110, section 12.5.4).
    fn preferred(header: &str) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for range in header.split(',') {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = match parameters.trim().strip_prefix("q=") {
                Some(text) => text.trim().parse().unwrap_or(0.0),
                None => 1.0,
            };
            if let Some(lang) = Self::of_tag(tag.trim())
                && weight > best.map_or(0.0, |(w, _)| w)
            {
                best = Some((weight, lang));
            }
        }
        best.map_or(Self::En, |(_, lang)| lang)
    }
}

#[cfg(test)]
mod tests {
    use super::Lang::{self, En, Zh};

    // RFC 9110, section 12.5.4: a weight after `q=`, 1 when there is none, 0 means not wanted.
    #[test]
    fn the_browsers_order_decides() {
        for (header, want) in [
            ("", En),
            ("fr", En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Zh),
            ("en-GB,en;q=0.9,zh;q=0.8", En),
            ("fr, zh;q=0.5, en;q=0.4", Zh),
            ("en;q=0, zh;q=0.1", Zh),
            ("zh;q=x", En),
        ] {
            assert_eq!(Lang::preferred(header), want, "{header}");
        }
    }
}
