//! One request on its way to its handler: decoded, authenticated and authorised.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use feitian_base::{Error, Kind, Result};
use feitian_meta::{DEFAULT_SCHEMA, ObjectName};
use feitian_types::PartitionSpec;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::identity::Identity;
use crate::operations::Operation;
use crate::origin::Origin;
use crate::query::Query;
use crate::state::AppState;
use crate::warehouse::Caller;

/// How long the whole of a document may take to arrive.
const DOCUMENT_TIME: Duration = Duration::from_secs(120);

/// An authorised request. Handlers get it whole and answer it.
pub struct Call {
    pub state: AppState,
    pub operation: &'static Operation,
    /// Values of the `{name}` segments of the operation's path.
    pub path: Params,
    pub query: Query,
    pub headers: HeaderMap,
    pub origin: Origin,
    pub identity: Identity,
    pub request_id: String,
    pub arrived: Instant,
    pub body: BodySlot,
}

/// A request's body until somebody takes it. What nobody took is read and dropped before an error is answered.
pub type BodySlot = Arc<Mutex<Option<Body>>>;

/// Values of the `{name}` segments of a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(&'static str, String)>);

impl Params {
    /// The value of `{name}`, if the path has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    fn must(&self, name: &'static str) -> &str {
        self.get(name).expect("the operation's path has this segment")
    }
}

/// Where [`Params`] hold the schema that a request acts in; absent for `default`.
pub const IN_SCHEMA: &str = "in schema";

/// What a handler answers.
pub type Answer = Result<Response>;

impl Call {
    /// The account that asks. Operations open to everyone have none and must not ask for it.
    pub fn caller(&self) -> Result<&Caller> {
        self.identity.caller()
    }

    pub fn project(&self) -> &str {
        self.path.must("project")
    }

    /// The table's name within the project: `t`, or `s.t` in another schema than `default`.
    pub fn table(&self) -> &str {
        self.path.must("table")
    }

    /// The schema that the request acts in; it need not exist.
    pub fn schema(&self) -> &str {
        self.path.get(IN_SCHEMA).unwrap_or(DEFAULT_SCHEMA)
    }

    /// The schema that the request acts in, which must exist.
    pub async fn known_schema(&self) -> Result<&str> {
        let (project, schema) = (self.project(), self.schema());
        match self.state.meta.schema(project, schema).await? {
            Some(_) => Ok(schema),
            None => {
                let message = format!("Schema not found - '{project}.{schema}'");
                Err(Error::new(Kind::NotFound, "NoSuchObject", message))
            }
        }
    }

    /// The resource or function that path segment `name` names, in the schema of the request.
    pub fn object(&self, name: &'static str) -> ObjectName {
        let name = self.path.must(name).to_string();
        ObjectName { project: self.project().to_string(), schema_name: self.schema().to_string(), name }
    }

    pub fn instance(&self) -> &str {
        self.path.must("instance")
    }

    /// A path segment of the admin API.
    pub fn segment(&self, name: &'static str) -> &str {
        self.path.must(name)
    }

    /// A header's text; a header that is not text counts as absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The `partition` parameter: quoted on REST, bare on the tunnel.
    pub fn partition(&self) -> Result<Option<PartitionSpec>> {
        let parse = |text: &str| {
            let message = format!("partition '{text}' is no list of name=value pairs");
            PartitionSpec::parse(text).ok_or_else(|| Error::new(Kind::Invalid, "InvalidPartitionSpec", message))
        };
        self.query.get("partition").map(parse).transpose()
    }

    /// `maxitems`, at most `most`.
    pub fn page_size(&self, most: usize) -> Result<usize> {
        Ok(self.query.number("maxitems")?.map_or(most, |n| usize::try_from(n).unwrap_or(most)).clamp(1, most))
    }

    /// Refuses parameters whose meaning we do not act on: leaving one out would answer another question.
    pub fn refuse_parameters(&self, keys: &[&str]) -> Result<()> {
        match keys.iter().find(|k| self.query.get(k).is_some()) {
            Some(key) => Err(Error::new(
                Kind::Unsupported,
                "MethodNotAllowed",
                format!("query parameter '{key}' is not supported by {}; leave it out", self.operation.name),
            )),
            None => Ok(()),
        }
    }

    /// The whole body, at most [`crate::settings::Limits::document_bytes`].
    pub async fn document(&self) -> Result<Bytes> {
        self.document_of(self.state.settings.limits.document_bytes).await
    }

    /// The whole body, at most `most` bytes.
    pub async fn document_of(&self, most: usize) -> Result<Bytes> {
        read_body(self.take_body(), most).await
    }

    /// The body, once; empty afterwards.
    pub fn take_body(&self) -> Body {
        self.body.lock().take().unwrap_or_default()
    }

    /// The whole body as UTF-8.
    pub async fn text(&self) -> Result<String> {
        let bytes = self.document().await?;
        String::from_utf8(bytes.into()).map_err(|e| {
            Error::invalid(format!("the body is not UTF-8: byte {} is no character", e.utf8_error().valid_up_to()))
        })
    }

    /// The body as JSON. Unknown keys are an error when `T` says so.
    pub async fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let bytes = self.document().await?;
        // serde would take a list for the values of an object in the order of its fields.
        if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
            return Err(Error::invalid("the body is not the expected JSON: it is a list, not an object"));
        }
        serde_json::from_slice(&bytes).map_err(|e| Error::invalid(format!("the body is not the expected JSON: {e}")))
    }
}

/// The whole of a body, at most `most` bytes, within the time of a document.
pub(crate) async fn read_body(body: Body, most: usize) -> Result<Bytes> {
    let read = read_document(body, most);
    tokio::time::timeout(DOCUMENT_TIME, read).await.map_err(|_| body_timeout(DOCUMENT_TIME))?
}

async fn read_document(mut body: Body, limit: usize) -> Result<Bytes> {
    let too_large =
        || Error::new(Kind::Invalid, "RequestEntityTooLarge", format!("the body is larger than {limit} bytes"));
    // A length that the head announces need not be waited for.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken_body)?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// A request body that stopped in the middle or is not framed as HTTP says.
pub fn broken_body(e: axum::Error) -> Error {
    Error::new(Kind::Invalid, "IncompleteBody", format!("the request body broke off or is not well formed: {e}"))
}

/// A client that lets a body lie for too long.
pub fn body_timeout(limit: Duration) -> Error {
    Error::new(Kind::Invalid, "RequestTimeout", format!("the body did not come within {} seconds", limit.as_secs()))
}
