//! What each error code means: the pages of `docs/errors`, carried in the program, and the way from a text to its page.

use std::sync::LazyLock;

/// What an error code means. Written in Markdown, two files of `docs/errors` for each code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// As clients see it: `ODPS-0130131` or `NoSuchTable`.
    pub code: &'static str,
    /// English: the file named by the code and `.md`.
    pub en: Explanation,
    /// Chinese: the file named by the code and `.zh.md`.
    pub zh: Explanation,
}

/// A page in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// A few words, from the first heading.
    pub title: &'static str,
    /// The whole page, its heading included.
    pub text: &'static str,
}

/// The page about `code`; `None` if there is none.
///
/// Takes a code in any case (`ODPS-0130131`, `0130131`, `nosuchtable`) and a whole message, such as
/// `FAILED: ODPS-0130131:[1,15] Table not found - table p.t cannot be resolved`. Where a message names several codes, a
/// number goes before a name, because it says more, and then the first before the others.
pub fn explain(code: &str) -> Option<&'static Page> {
    let words = || code.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let of_number = |word: &str| all().iter().find(|page| page.code.strip_prefix(PREFIX) == Some(word));
    let of_name = |word: &str| {
        let word = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(word)).map_or(word, |(_, code)| *code);
        all().iter().find(|page| page.code.eq_ignore_ascii_case(word))
    };
    words().find_map(of_number).or_else(|| words().find_map(of_name))
}

/// Every page, sorted by code.
pub fn all() -> &'static [Page] {
    static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
        let explanation = |code, text| Explanation { title: title(text).unwrap_or(code), text };
        FILES
            .iter()
            .map(|&(code, en, zh)| Page { code, en: explanation(code, en), zh: explanation(code, zh) })
            .collect()
    });
    &PAGES
}

const PREFIX: &str = "ODPS-";

/// Classes of PyODPS whose name is not the code that they stand for (`_CODE_MAPPING` in its `odps/errors.py`).
const ALIASES: &[(&str, &str)] = &[("ParseError", "ODPS-0130161")];

/// The words after the code in the first heading, `# CODE: words`.
fn title(text: &'static str) -> Option<&'static str> {
    let (_, title) = text.lines().next()?.strip_prefix("# ")?.split_once(": ")?;
    Some(title.trim())
}

/// Code and both texts of each page; a code that lacks a language does not compile.
macro_rules! pages {
    ($($code:literal,)*) => {
        &[$((
            $code,
            include_str!(concat!("../../../docs/errors/", $code, ".md")),
            include_str!(concat!("../../../docs/errors/", $code, ".zh.md")),
        )),*]
    };
}

/// The one list of all pages; `cargo xtask tidy` compares it with the directory and with what the sources raise.
const FILES: &[(&str, &str, &str)] = pages![
    "AuthenticationRequestExpired",
    "DirectoryInUse",
    "FlowExceeded",
    "IncompleteBody",
    "InstanceNotEmpty",
    "InstanceNotTerminate",
    "InstanceTypeNotSupported",
    "InternalServerError",
    "InvalidArgument",
    "InvalidParameter",
    "InvalidPartitionSpec",
    "InvalidRowRange",
    "InvalidStateSetting",
    "MalformedDataStream",
    "MethodNotAllowed",
    "NoPermission",
    "NoSuchDownload",
    "NoSuchObject",
    "NoSuchPartition",
    "NoSuchProject",
    "NoSuchSchema",
    "NoSuchTable",
    "NoSuchUpload",
    "ODPS-0010000",
    "ODPS-0110061",
    "ODPS-0120031",
    "ODPS-0121011",
    "ODPS-0121055",
    "ODPS-0121065",
    "ODPS-0121095",
    "ODPS-0121105",
    "ODPS-0121125",
    "ODPS-0121145",
    "ODPS-0123031",
    "ODPS-0123055",
    "ODPS-0123091",
    "ODPS-0123105",
    "ODPS-0123131",
    "ODPS-0123144",
    "ODPS-0130013",
    "ODPS-0130031",
    "ODPS-0130071",
    "ODPS-0130111",
    "ODPS-0130121",
    "ODPS-0130131",
    "ODPS-0130151",
    "ODPS-0130161",
    "ODPS-0130171",
    "ODPS-0130181",
    "ODPS-0130191",
    "ODPS-0130201",
    "ODPS-0130211",
    "ODPS-0130221",
    "ODPS-0130231",
    "ODPS-0130241",
    "ODPS-0130252",
    "ODPS-0130261",
    "ODPS-0130271",
    "ODPS-0410031",
    "ODPS-0410051",
    "ODPS-0420111",
    "ODPS-1850001",
    "OTSAuthFailed",
    "OTSConditionCheckFail",
    "OTSDataOutOfRange",
    "OTSInternalServerError",
    "OTSInvalidPK",
    "OTSMethodNotAllowed",
    "OTSNoPermissionAccess",
    "OTSNotEnoughCapacityUnit",
    "OTSObjectAlreadyExist",
    "OTSObjectNotExist",
    "OTSParameterInvalid",
    "OTSPartitionUnavailable",
    "OTSQuotaExhausted",
    "OTSRequestBodyTooLarge",
    "OTSRequestTimeout",
    "OTSRowOperationConflict",
    "OTSServerBusy",
    "OTSServerUnavailable",
    "OTSSessionNotExist",
    "OTSTableNotReady",
    "OTSTimeout",
    "ObjectAlreadyExists",
    "PreconditionFailed",
    "ProjectNotEmpty",
    "RequestEntityTooLarge",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SchemaModified",
    "SchemaNotEmpty",
    "SchemaParseError",
    "ServiceUnavailable",
    "SignatureNotMatch",
    "StatusConflict",
    "StreamSessionNotFound",
    "TableModified",
    "Unauthorized",
    "UpsertSessionNotFound",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> Option<&'static str> {
        explain(text).map(|page| page.code)
    }

    #[test]
    fn a_code_is_found_in_any_case_and_by_its_number_alone() {
        for text in ["ODPS-0130131", "odps-0130131", "0130131", " ODPS-0130131:"] {
            assert_eq!(code_of(text), Some("ODPS-0130131"), "{text}");
        }
        for text in ["NoSuchTable", "nosuchtable", "NOSUCHTABLE"] {
            assert_eq!(code_of(text), Some("NoSuchTable"), "{text}");
        }
    }

    // The shapes in which PyODPS, `feitian` and the REST API show an error.
    #[test]
    fn a_whole_message_leads_to_its_page() {
        for (text, code) in [
            ("FAILED: ODPS-0130131:[1,15] Table not found - table p.t cannot be resolved", "ODPS-0130131"),
            ("error: NoSuchPartition: partition 'ds=1' of table p.t does not exist", "NoSuchPartition"),
            ("odps.errors.ParseError: ODPS-0130161: InstanceId: 20240101 FAILED: ODPS-0130161:[1,1]", "ODPS-0130161"),
            ("odps.errors.Unauthorized: Unauthorized: ODPS-0410051:Invalid credentials", "ODPS-0410051"),
            ("<Error><Code>NoSuchObject</Code><Message>Project not found - 'p'</Message>", "NoSuchObject"),
        ] {
            assert_eq!(code_of(text), Some(code), "{text}");
        }
    }

    #[test]
    fn the_class_that_pyodps_shows_instead_of_a_code_counts() {
        assert_eq!(code_of("ParseError"), Some("ODPS-0130161"));
    }

    #[test]
    fn what_is_no_code_of_ours_has_no_page() {
        for text in ["", "ODPS-", "ODPS-9999999", "ODPS-013013", "NoSuchTableau", "table not found", "飞天"] {
            assert_eq!(code_of(text), None, "{text}");
        }
    }

    #[test]
    fn every_page_has_a_title_and_the_pages_are_sorted() {
        for page in all() {
            for Explanation { title: words, text } in [page.en, page.zh] {
                assert_eq!(title(text), Some(words), "{}", page.code);
                assert!(text.starts_with(&format!("# {}: ", page.code)), "{}", page.code);
            }
            assert!(page.en.title.is_ascii() && !page.zh.title.is_ascii(), "{}", page.code);
        }
        assert!(all().windows(2).all(|two| two[0].code < two[1].code));
        assert!(ALIASES.iter().all(|&(_, code)| code_of(code) == Some(code)));
    }
}
