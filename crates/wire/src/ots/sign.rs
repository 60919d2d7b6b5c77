//! Signatures of the table store: of requests, versions 2 and 4, and of answers.
//!
//! Both sign the headers whose names begin with `x-ots-`, one of which is the MD5 of the body. Version 4 derives a key
//! from secret, day and region first; the text of that key in Base64 is what signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use feitian_base::Result;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::errors;
use crate::sign::hmac_sha256;

/// What every signed header begins with.
const PREFIX: &str = "x-ots-";
/// The headers that carry a signature, and so are not part of what it signs.
const SIGNATURES: [&str; 2] = ["x-ots-signature", "x-ots-signaturev4"];
/// How far the clock of a client may be off: a quarter of an hour.
const MAX_SKEW_MS: i64 = 15 * 60 * 1000;

/// What a client signs. `headers` are all headers of the request, names in any case; those that do not count are
/// skipped.
pub fn string_to_sign<'a>(operation: &str, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = format!("/{operation}\nPOST\n\n");
    for line in lines(headers) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// What a server signs: the headers of its answer, then the path.
pub fn response_string_to_sign<'a>(operation: &str, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    format!("{}\n/{operation}", lines(headers).join("\n"))
}

/// `name:value` of each header that is signed, in the order of their bytes.
fn lines<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let named = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let signed = named.filter(|(name, _)| name.starts_with(PREFIX) && !SIGNATURES.contains(&name.as_str()));
    let mut lines: Vec<String> = signed.map(|(name, value)| format!("{name}:{}", value.trim())).collect();
    lines.sort_unstable();
    lines
}

fn hmac_sha1(key: &str, text: &str) -> String {
    let mut mac = <Hmac<Sha1>>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The Base64 signature of version 2 over `sts` (see [`string_to_sign`]).
pub fn sign_v2(secret: &str, sts: &str) -> String {
    hmac_sha1(secret, sts)
}

/// The signing key of version 4 for one `date` (`yyyymmdd`) and `region`: Base64, and used as text.
pub fn key_v4(secret: &str, date: &str, region: &str) -> String {
    let key = hmac_sha256(format!("aliyun_v4{secret}").as_bytes(), date);
    let key = hmac_sha256(&key, region);
    let key = hmac_sha256(&key, "ots");
    STANDARD.encode(hmac_sha256(&key, "aliyun_v4_request"))
}

/// The Base64 signature of version 4 over `sts` with a key of [`key_v4`].
pub fn sign_v4(key: &str, sts: &str) -> String {
    STANDARD.encode(hmac_sha256(key.as_bytes(), &format!("{sts}ots")))
}

/// Which version signed a request, and what its key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    V2,
    V4 {
        /// `yyyymmdd`; any day, because a client may keep a derived key.
        date: String,
        region: String,
    },
}

/// Who says that it sent a request: what its headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub access_id: String,
    pub instance: String,
    /// The token of a temporary key.
    pub token: Option<String>,
    /// As sent: `2024-01-02T03:04:05.000Z`.
    pub date: String,
    /// Base64 of the MD5 of the body, as sent.
    pub content_md5: String,
    pub version: Version,
    /// Base64.
    pub signature: String,
}

impl Authorization {
    /// Takes what is needed out of the headers of a request, names in any case.
    pub fn of_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)> + Clone) -> Result<Self> {
        let find = |wanted: &str| {
            let mut found = headers.clone().into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.next().map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let need = |wanted: &str| {
            let missing = || errors::parameter_invalid(format!("Missing header: '{wanted}'."));
            find(wanted).map(str::to_string).ok_or_else(missing)
        };
        let date = need("x-ots-date")?;
        let api_version = need("x-ots-apiversion")?;
        let access_id = need("x-ots-accesskeyid")?;
        let instance = need("x-ots-instancename")?;
        let content_md5 = need("x-ots-contentmd5")?;
        if api_version != "2015-12-31" {
            let version = api_version.escape_debug();
            return Err(errors::parameter_invalid(format!("Invalid API version: '{version}', not 2015-12-31.")));
        }
        let (version, signature) = match find("x-ots-signaturev4") {
            Some(signature) => {
                let (date, region) = (need("x-ots-signdate")?, need("x-ots-signregion")?);
                (Version::V4 { date, region }, signature.to_string())
            }
            None => (Version::V2, need("x-ots-signature")?),
        };
        let token = find("x-ots-ststoken").map(str::to_string);
        Ok(Self { access_id, instance, token, date, content_md5, version, signature })
    }

    /// True if `secret` signs `sts` with this signature. The comparison takes the same time for every wrong signature
    /// of the right length.
    pub fn verify(&self, secret: &str, sts: &str) -> bool {
        let want = match &self.version {
            Version::V2 => sign_v2(secret, sts),
            Version::V4 { .. } => sign_v4(&self.response_key(secret), sts),
        };
        want.as_bytes().ct_eq(self.signature.as_bytes()).into()
    }

    /// The key that signs the answer to this request.
    pub fn response_key(&self, secret: &str) -> String {
        match &self.version {
            Version::V2 => secret.to_string(),
            Version::V4 { date, region } => key_v4(secret, date, region),
        }
    }

    /// Refuses a body that is not the one whose MD5 is signed.
    pub fn check_body(&self, body: &[u8]) -> Result<()> {
        if content_md5(body) == self.content_md5 { Ok(()) } else { Err(errors::md5_mismatch()) }
    }

    /// Refuses a request that is a quarter of an hour older or newer than `now_ms`, in milliseconds since 1970.
    pub fn check_date(&self, now_ms: i64) -> Result<()> {
        let date = &self.date;
        let sent = DateTime::parse_from_rfc3339(date);
        let sent = sent.map_err(|_| errors::parameter_invalid(format!("Invalid date: '{}'.", date.escape_debug())))?;
        if sent.timestamp_millis().abs_diff(now_ms) > MAX_SKEW_MS.unsigned_abs() {
            let words = format!("Mismatch between system time and x-ots-date: {date}.");
            return Err(errors::auth_failed(words));
        }
        Ok(())
    }
}

/// The `Authorization` header of an answer. `headers` are those that will be sent with it; `key` is that of
/// [`Authorization::response_key`].
pub fn sign_response<'a>(
    access_id: &str,
    key: &str,
    operation: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    format!("OTS {access_id}:{}", hmac_sha1(key, &response_string_to_sign(operation, headers)))
}

/// What `x-ots-contentmd5` says of a body.
pub fn content_md5(body: &[u8]) -> String {
    STANDARD.encode(Md5::digest(body))
}

/// A time in milliseconds since 1970 as `x-ots-date` has it, with a fraction: clients cannot read one without.
pub fn date(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The headers of a request as a client sends it, version 2, the signature among them.
pub fn sign_request(
    (access_id, secret): (&str, &str),
    instance: &str,
    operation: &str,
    body: &[u8],
    now_ms: i64,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("x-ots-accesskeyid", access_id.to_string()),
        ("x-ots-apiversion", "2015-12-31".to_string()),
        ("x-ots-contentmd5", content_md5(body)),
        ("x-ots-date", date(now_ms)),
        ("x-ots-instancename", instance.to_string()),
    ];
    let sts = string_to_sign(operation, headers.iter().map(|(name, value)| (*name, value.as_str())));
    headers.push(("x-ots-signature", sign_v2(secret, &sts)));
    headers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HEADERS: [(&str, &str); 7] = [
        ("Host", "127.0.0.1"),
        ("X-Ots-Date", "2024-01-02T03:04:05.000Z"),
        ("x-ots-apiversion", "2015-12-31"),
        ("x-ots-accesskeyid", " ak "),
        ("x-ots-instancename", "inst"),
        ("x-ots-contentmd5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("x-ots-signature", "eQciA6Z3eIwK6GdxaOO/clZVrcE="),
    ];
    const SENT_MS: i64 = 1_704_164_645_000;

    fn with_v4() -> Vec<(&'static str, &'static str)> {
        let v4 = [
            ("x-ots-signdate", "20240102"),
            ("x-ots-signregion", "cn-hangzhou"),
            ("x-ots-signaturev4", "0PpP60+zceRL7IfW2PtmIpOi5ubcgqjktVGJHkwaXd8="),
        ];
        HEADERS[..6].iter().copied().chain(v4).collect()
    }

    // Values: what the Python SDK sends for this request, 6.1.0 for version 2 and 6.4.8 for version 4.
    #[test]
    fn a_request_is_signed_as_the_sdk_signs_it() {
        let sts = string_to_sign("ListTable", HEADERS);
        let want = "/ListTable\nPOST\n\nx-ots-accesskeyid:ak\nx-ots-apiversion:2015-12-31\n\
                    x-ots-contentmd5:1B2M2Y8AsgTpgAmY7PhCfg==\nx-ots-date:2024-01-02T03:04:05.000Z\n\
                    x-ots-instancename:inst\n";
        assert_eq!(sts, want);
        assert_eq!(sign_v2("sk", &sts), "eQciA6Z3eIwK6GdxaOO/clZVrcE=");
        assert_eq!(key_v4("sk", "20240102", "cn-hangzhou"), "ZTQ77z9vqEGlB283FbL2EbMyNBdBoFGY2acYbBbuevA=");
        let sent = sign_request(("ak", "sk"), "inst", "ListTable", b"", SENT_MS);
        assert!(sent.contains(&("x-ots-signature", "eQciA6Z3eIwK6GdxaOO/clZVrcE=".to_string())), "{sent:?}");
    }

    // Values: what the Python SDK sends for this request, 6.1.0 for version 2 and 6.4.8 for version 4.
    #[test]
    fn only_the_right_secret_and_text_verify() {
        for headers in [HEADERS.to_vec(), with_v4()] {
            let sts = string_to_sign("ListTable", headers.iter().copied());
            let found = Authorization::of_headers(headers.iter().copied()).unwrap();
            assert_eq!((found.access_id.as_str(), found.instance.as_str()), ("ak", "inst"));
            assert!(found.verify("sk", &sts), "{found:?}");
            assert!(!found.verify("sl", &sts), "{found:?}");
            assert!(!found.verify("sk", &sts.replace("inst", "inst2")), "{found:?}");
            found.check_body(b"").unwrap();
            assert_eq!(found.check_body(b"x").unwrap_err().code(), "OTSAuthFailed");
        }
    }

    // Values: what the same SDKs compare the header of this answer with.
    #[test]
    fn an_answer_is_signed_as_the_sdk_compares_it() {
        let headers = [
            ("x-ots-requestid", "req-1"),
            ("x-ots-contenttype", "protocol buffer"),
            ("x-ots-contentmd5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
            ("x-ots-date", "2024-01-02T03:04:06.000Z"),
            ("Content-Length", "0"),
        ];
        assert_eq!(sign_response("ak", "sk", "ListTable", headers), "OTS ak:8pExJO5AcwX1F9h/Hitwfb977I4=");
        let found = Authorization::of_headers(with_v4()).unwrap();
        let key = found.response_key("sk");
        assert_eq!(sign_response("ak", &key, "ListTable", headers), "OTS ak:5+CGY69toQAYIiyrxbZYCzvGta4=");
    }

    // From: the Tablestore documentation, the texts of OTSParameterInvalid.
    #[test]
    fn a_missing_header_is_named() {
        for missing in 1..HEADERS.len() {
            let mut headers = HEADERS.to_vec();
            let (name, _) = headers.remove(missing);
            let e = Authorization::of_headers(headers).unwrap_err();
            let want = format!("Missing header: '{}'.", name.to_ascii_lowercase());
            assert_eq!((e.code(), e.message()), ("OTSParameterInvalid", want.as_str()));
        }
    }

    // From: the Tablestore documentation, x-ots-date (a quarter of an hour) and the texts of OTSAuthFailed.
    #[test]
    fn a_clock_may_be_off_by_a_quarter_of_an_hour() {
        let mut found = Authorization::of_headers(HEADERS).unwrap();
        for off in [0, -900_000, 900_000] {
            found.check_date(SENT_MS + off).unwrap();
        }
        for off in [-900_001, 900_001] {
            let e = found.check_date(SENT_MS + off).unwrap_err();
            let want = "Mismatch between system time and x-ots-date: 2024-01-02T03:04:05.000Z.";
            assert_eq!((e.code(), e.message()), ("OTSAuthFailed", want));
        }
        found.date = "yesterday".to_string();
        assert_eq!(found.check_date(SENT_MS).unwrap_err().code(), "OTSParameterInvalid");
    }

    // From: the header of the request above, whose time in milliseconds `date -u` tells.
    #[test]
    fn a_date_has_a_fraction() {
        assert_eq!(date(SENT_MS), "2024-01-02T03:04:05.000Z");
    }
}
