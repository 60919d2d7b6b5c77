//! The errors of the table store: codes, their HTTP status, the words that clients compare, and the body.

use feitian_base::{Error, Kind};

use super::messages;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident: $kind:expr, $code:literal, $text:literal;)*) => {
        $($(#[$doc])* pub fn $name() -> Error {
            Error::new($kind, $code, $text)
        })*
    };
}

// Texts that clients compare letter by letter.
errors! {
    access_key_unknown: Kind::Denied, "OTSAuthFailed", "The AccessKeyID does not exist.";
    access_key_disabled: Kind::Denied, "OTSAuthFailed", "The AccessKeyID is disabled.";
    instance_not_found: Kind::Denied, "OTSAuthFailed", "The instance is not found.";
    signature_mismatch: Kind::Denied, "OTSAuthFailed", "Signature mismatch.";
    md5_mismatch: Kind::Denied, "OTSAuthFailed",
        "Mismatch between MD5 value of request body and x-ots-contentmd5 in header.";
    condition_check_fail: Kind::Conflict, "OTSConditionCheckFail", "Condition check failed.";
    capacity_unit_not_enough: Kind::Throttled, "OTSNotEnoughCapacityUnit", "Remaining capacity unit is not enough.";
    table_not_found: Kind::NotFound, "OTSObjectNotExist", "Requested table does not exist.";
    /// Clients send the request again, so it must not have had any effect.
    table_not_ready: Kind::Unavailable, "OTSTableNotReady", "The table is not ready.";
    table_exists: Kind::Conflict, "OTSObjectAlreadyExist", "Requested table already exists.";
    /// Clients send the request again, so it must not have had any effect.
    row_conflict: Kind::Conflict, "OTSRowOperationConflict", "Data is being modified by the other request.";
    body_too_large: Kind::Invalid, "OTSRequestBodyTooLarge", "The size of POST data is too large.";
    internal: Kind::Internal, "OTSInternalServerError", "Internal server error.";
    /// Clients send the request again, so it must not have had any effect.
    partition_unavailable: Kind::Unavailable, "OTSPartitionUnavailable", "The partition is not available.";
    /// For a write whose outcome is not known: clients send reads again and no writes.
    timeout: Kind::Unavailable, "OTSTimeout", "Operation timeout.";
    transaction_id_invalid: Kind::Invalid, "OTSParameterInvalid", "TransactionID is invalid.";
    transaction_gone: Kind::NotFound, "OTSSessionNotExist", "Session not exist or may be timeout.";
}

/// `OTSParameterInvalid`, which most mistakes in requests are.
pub fn parameter_invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "OTSParameterInvalid", message)
}

/// `OTSInvalidPK`: a key that is not the table's.
pub fn invalid_key(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "OTSInvalidPK", message)
}

/// `OTSAuthFailed` with other words than those above.
pub fn auth_failed(message: impl Into<String>) -> Error {
    Error::new(Kind::Denied, "OTSAuthFailed", message)
}

/// `OTSNoPermissionAccess`: the account is known and may not do this.
pub fn no_permission(message: impl Into<String>) -> Error {
    Error::new(Kind::Denied, "OTSNoPermissionAccess", message)
}

/// `OTSQuotaExhausted`: too many things of a kind.
pub fn quota_exhausted(message: impl Into<String>) -> Error {
    Error::new(Kind::Throttled, "OTSQuotaExhausted", message)
}

/// An operation that there is not.
pub fn unsupported_operation(operation: &str) -> Error {
    Error::new(Kind::Unsupported, "OTSParameterInvalid", format!("Unsupported operation: '{operation}'."))
}

/// Any verb but POST.
pub fn method_not_allowed(method: &str) -> Error {
    Error::new(Kind::Unsupported, "OTSMethodNotAllowed", format!("The method {method} is not allowed; use POST."))
}

/// The code under which clients know `error`, whichever part of the program it comes from.
///
/// An error of a part that knows nothing of the table store goes by its kind. None of those becomes a code after which
/// clients send a write again, because nobody said that it had no effect.
pub fn code(error: &Error) -> &str {
    if error.code().starts_with("OTS") {
        return error.code();
    }
    match error.kind() {
        Kind::Invalid | Kind::Unsupported => "OTSParameterInvalid",
        Kind::NotFound => "OTSObjectNotExist",
        Kind::Conflict => "OTSObjectAlreadyExist",
        Kind::Denied => "OTSNoPermissionAccess",
        Kind::Throttled => "OTSFlowControl",
        Kind::Unavailable => "OTSServerUnavailable",
        Kind::Cancelled => "OTSTimeout",
        Kind::Corrupt | Kind::Internal => "OTSInternalServerError",
    }
}

/// The HTTP status that belongs to a code; 400 for what is not listed.
pub fn status(code: &str) -> u16 {
    match code {
        "OTSAuthFailed"
        | "OTSNoPermissionAccess"
        | "OTSConditionCheckFail"
        | "OTSNotEnoughCapacityUnit"
        | "OTSCapacityUnitExhausted"
        | "OTSQuotaExhausted" => 403,
        "OTSObjectNotExist" | "OTSTableNotReady" | "OTSSessionNotExist" => 404,
        "OTSMethodNotAllowed" => 405,
        "OTSRequestTimeout" => 408,
        "OTSObjectAlreadyExist" | "OTSRowOperationConflict" => 409,
        "OTSRequestBodyTooLarge" => 413,
        "OTSFlowControl" => 429,
        "OTSInternalServerError" => 500,
        "OTSServerBusy" | "OTSServerUnavailable" | "OTSPartitionUnavailable" | "OTSTimeout" => 503,
        _ => 400,
    }
}

/// Whether a code is a fault that an operator should hear of each time. Not those that say that nothing was done and that
/// the request is to come again: clients send it many times a second while the store is elsewhere or its disk is full, of
/// which the store itself tells once.
pub fn is_fault(code: &str) -> bool {
    status(code) >= 500 && !matches!(code, "OTSPartitionUnavailable" | "OTSServerBusy")
}

/// `error` as a message: the body of an answer, or the reason in a row of a batch.
///
/// What only an operator can mend is not told: it may name files.
pub fn message(error: &Error) -> messages::Error {
    let code = code(error);
    let text = match error.kind() {
        Kind::Internal | Kind::Corrupt => "Internal server error.",
        _ => error.message(),
    };
    messages::Error { code: code.to_string(), message: Some(text.to_string()) }
}

/// The body of the answer that reports `error`.
pub fn body(error: &Error) -> Vec<u8> {
    messages::encode(&message(error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Bytes: what protobuf's own library for Python writes for this code and text.
    #[test]
    fn a_failed_condition_has_the_known_body() {
        let hex: String = body(&condition_check_fail()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "0a154f5453436f6e646974696f6e436865636b4661696c1217436f6e646974696f6e20636865636b206661696c65642e"
        );
    }

    // From: the error codes of the Tablestore documentation.
    #[test]
    fn a_code_has_its_status() {
        for (error, want) in [
            (signature_mismatch(), 403),
            (condition_check_fail(), 403),
            (quota_exhausted("Number of tables exceeds the quota:64."), 403),
            (table_not_found(), 404),
            (method_not_allowed("GET"), 405),
            (row_conflict(), 409),
            (table_exists(), 409),
            (body_too_large(), 413),
            (internal(), 500),
            (partition_unavailable(), 503),
            (timeout(), 503),
            (invalid_key("Validate PK size fail. Input: 1, Meta: 2."), 400),
            (unsupported_operation("Get"), 400),
        ] {
            assert_eq!(status(code(&error)), want, "{error:?}");
        }
    }

    // From: the documentation of the error codes: the first say that the service failed, the others that the request is
    // to be sent again, changed, or not at all.
    #[test]
    fn a_fault_is_what_a_client_cannot_help() {
        for fault in ["OTSInternalServerError", "OTSTimeout", "OTSServerUnavailable"] {
            assert!(is_fault(fault), "{fault}");
        }
        for refusal in ["OTSPartitionUnavailable", "OTSServerBusy", "OTSConditionCheckFail", "OTSTableNotReady"] {
            assert!(!is_fault(refusal), "{refusal}");
        }
    }

    // From: the Python SDK, `retry.py`: the codes after which it sends any request again.
    #[test]
    fn a_foreign_error_is_never_one_that_makes_clients_repeat_a_write() {
        const REPEATED: [&str; 6] = [
            "OTSRowOperationConflict",
            "OTSNotEnoughCapacityUnit",
            "OTSTableNotReady",
            "OTSPartitionUnavailable",
            "OTSServerBusy",
            "OTSOperationThrottled",
        ];
        for kind in [
            Kind::Invalid,
            Kind::NotFound,
            Kind::Conflict,
            Kind::Denied,
            Kind::Unsupported,
            Kind::Throttled,
            Kind::Unavailable,
            Kind::Corrupt,
            Kind::Cancelled,
            Kind::Internal,
        ] {
            let error = Error::new(kind, "Elsewhere", "words");
            assert!(!REPEATED.contains(&code(&error)), "{kind:?}");
        }
    }

    #[test]
    fn what_only_an_operator_can_mend_is_not_told() {
        let error = Error::new(Kind::Corrupt, "Elsewhere", "the file /secret is damaged");
        assert_eq!(message(&error).message.as_deref(), Some("Internal server error."));
    }
}
