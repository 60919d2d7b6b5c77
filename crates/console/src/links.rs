//! Addresses of this server's pages. They lead back through the same proxy and carry the same token.

use feitian_api::Call;
use url::form_urlencoded::Serializer;

use crate::lang::Lang;

/// Addresses for one request.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// Path before ours, put there by a proxy: empty or `/x`.
    prefix: String,
    /// `p`, `i` and the token, encoded.
    job: String,
    /// The language, when the address named one.
    lang: Option<Lang>,
}

impl Links {
    pub(crate) fn of(call: &Call, lang: Lang) -> Self {
        let mut job = Serializer::new(String::new());
        for key in ["p", "i", "token"] {
            if let Some(value) = call.query.get(key) {
                // `+` of Base64 arrives as a blank, because clients put the token into the address as it is.
                job.append_pair(key, &if key == "token" { value.replace(' ', "+") } else { value.to_string() });
            }
        }
        let lang = call.query.get("lang").map(|_| lang);
        Self { prefix: call.origin.prefix.clone(), job: job.finish(), lang }
    }

    /// Addresses as a request to `/logview/?p=p&i=i&token=t` gets them.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self { prefix: String::new(), job: "p=p&i=i&token=t".into(), lang: None }
    }

    /// A page about the job of this request, below `/logview/`.
    pub(crate) fn job(&self, page: &str) -> String {
        self.job_in(page, self.lang)
    }

    /// The same in a language.
    pub(crate) fn job_in(&self, page: &str, lang: Option<Lang>) -> String {
        let lang = lang.map_or(String::new(), |lang| format!("&lang={}", lang.tag()));
        format!("{}/logview/{page}?{}{lang}", self.prefix, self.job)
    }

    /// The page of an error code, in a language; the list of all for an empty one.
    pub(crate) fn code_in(&self, code: &str, lang: Option<Lang>) -> String {
        let path = if code.is_empty() { "errors".to_string() } else { format!("errors/{code}") };
        let lang = lang.map_or(String::new(), |lang| format!("?lang={}", lang.tag()));
        format!("{}/logview/{path}{lang}", self.prefix)
    }

    /// The page of an error code in the language of this request.
    pub(crate) fn code(&self, code: &str) -> String {
        self.code_in(code, self.lang)
    }

    /// The console, where whoever has a key finds everything else.
    pub(crate) fn console(&self) -> String {
        format!("{}/console", self.prefix)
    }

    /// The page of any error code, with braces where the code belongs.
    pub(crate) fn any_code(&self) -> String {
        self.code("{}")
    }

    /// A file of this crate.
    pub(crate) fn asset(&self, name: &str) -> String {
        format!("{}/console/assets/{name}", self.prefix)
    }
}
