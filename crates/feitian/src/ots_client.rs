//! A client of the table store, for reading: signs requests, checks the signatures of answers, asks again.

use std::cell::Cell;
use std::time::Duration;

use feitian_base::clock;
use feitian_wire::ots::messages;
use feitian_wire::ots::sign::{content_md5, sign_request, sign_response, sign_v2, string_to_sign};
use reqwest::blocking::Client as Http;

use crate::cli::ClientArgs;
use crate::client::{access_key, base_url, http_client, stored_credentials};
use crate::failure::{Failure, Result};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(120);
/// So often a read is sent, with pauses that double: a server that restarts is back by then.
const TRIES: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What is answered when the same read may work later.
const LATER: [&str; 5] =
    ["OTSServerBusy", "OTSServerUnavailable", "OTSPartitionUnavailable", "OTSTimeout", "OTSFlowControl"];

/// Why there is no answer.
pub(crate) enum Trouble {
    /// The server says so, in the words of the protocol.
    Refused { status: u16, code: String, message: String },
    /// Nobody answered.
    Away(Failure),
    /// What came is no answer of a table store.
    Strange(Failure),
}

impl Trouble {
    fn may_pass(&self, was_there: bool) -> bool {
        match self {
            Self::Refused { code, .. } => LATER.contains(&code.as_str()),
            // A server that never answered is not one that restarts.
            Self::Away(_) => was_there,
            Self::Strange(_) => false,
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused { status, code, message } => {
                let text = format!("{code}: {message}");
                let failure = if status == 404 { Self::negative(&text) } else { Self::new(&text) };
                failure.explained_by(&text)
            }
            Trouble::Away(failure) | Trouble::Strange(failure) => failure,
        }
    }
}

/// Talks to one instance with one key.
pub(crate) struct OtsClient {
    http: Http,
    base: String,
    instance: String,
    access_id: String,
    secret: String,
    sts_token: Option<String>,
    was_there: Cell<bool>,
}

impl OtsClient {
    /// Takes the key as other commands do. The endpoint is the given one, or that of the credentials in the data
    /// directory unless the flags name another server than theirs.
    pub(crate) fn connect(args: &ClientArgs, endpoint: Option<&str>, instance: &str) -> Result<Self> {
        if endpoint.is_none() && args.endpoint.is_some() {
            return Err(Failure::new("--endpoint names a server, and nothing says where its table store is")
                .hint("add --ots-endpoint http://host:7701, or set FEITIAN_OTS_ENDPOINT"));
        }
        let stored = match (endpoint, &args.key) {
            (Some(_), Some(_)) => None,
            _ => Some(stored_credentials(args)?),
        };
        let (access_id, secret) = access_key(args, stored.as_ref())?;
        let known = endpoint.map(str::to_string).or_else(|| stored.and_then(|stored| stored.ots_endpoint));
        let unknown = || Failure::new("the credentials do not say where the table store is");
        let endpoint = known.ok_or_else(|| unknown().hint("add --ots-endpoint http://host:7701"))?;
        let base = base_url(&endpoint)?;
        let http = http_client(&base)?;
        let (instance, sts_token) = (instance.to_string(), args.sts_token.clone());
        Ok(Self { http, base, instance, access_id, secret, sts_token, was_there: Cell::new(false) })
    }

    /// The body of the success that answers a read, which is sent again for as long as it may work later.
    pub(crate) fn read(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, Trouble> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.ask(operation, body) {
                Err(trouble) if trouble.may_pass(self.was_there.get()) => std::thread::sleep(pause),
                answer => return answer,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.ask(operation, body)
    }

    fn ask(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, Trouble> {
        let mut request = self.http.post(format!("{}/{operation}", self.base)).timeout(ANSWER);
        for (name, value) in self.headers(operation, body) {
            request = request.header(name, value);
        }
        let answer = request.body(body.to_vec()).send().map_err(|e| self.away(&e))?;
        let status = answer.status();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_string);
        let headers = answer.headers().iter();
        let headers: Vec<(String, String)> =
            headers.filter_map(|(name, value)| Some((name.as_str().to_string(), text(value)?))).collect();
        let bytes = answer.bytes().map_err(|e| self.away(&e))?.to_vec();
        self.was_there.set(true);
        if !status.is_success() {
            return Err(self.refusal(status.as_u16(), &bytes));
        }
        self.check(operation, &headers, &bytes)?;
        Ok(bytes)
    }

    fn headers(&self, operation: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let key = (self.access_id.as_str(), self.secret.as_str());
        let mut headers = sign_request(key, &self.instance, operation, body, clock::now_ms());
        // The token of a temporary key is signed with the rest.
        if let Some(token) = &self.sts_token {
            headers.retain(|(name, _)| *name != "x-ots-signature");
            headers.push(("x-ots-ststoken", token.clone()));
            let sts = string_to_sign(operation, headers.iter().map(|(name, value)| (*name, value.as_str())));
            headers.push(("x-ots-signature", sign_v2(&self.secret, &sts)));
        }
        headers
    }

    /// Refuses an answer that was cut short or changed on its way, or is another server's.
    fn check(&self, operation: &str, headers: &[(String, String)], body: &[u8]) -> Result<(), Trouble> {
        let find = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signature = sign_response(&self.access_id, &self.secret, operation, pairs);
        let md5 = content_md5(body);
        if find("authorization") == Some(signature.as_str()) && find("x-ots-contentmd5") == Some(md5.as_str()) {
            return Ok(());
        }
        Err(self.strange("answered something that a table store has not signed"))
    }

    fn refusal(&self, status: u16, body: &[u8]) -> Trouble {
        match messages::decode_answer::<messages::Error>(body) {
            Ok(error) if !error.code.is_empty() => {
                Trouble::Refused { status, code: error.code, message: error.message.unwrap_or_default() }
            }
            _ => self.strange(&format!("answered {status} without saying why")),
        }
    }

    fn strange(&self, what: &str) -> Trouble {
        let failure = Failure::new(format!("{} {what}", self.base));
        Trouble::Strange(failure.hint("is this the port of the table store? `feitian up` prints it"))
    }

    fn away(&self, e: &reqwest::Error) -> Trouble {
        let mut root: &dyn std::error::Error = e;
        while let Some(source) = root.source() {
            root = source;
        }
        let why = if e.is_timeout() { "it did not answer in time".to_string() } else { root.to_string() };
        let failure = Failure::new(format!("cannot reach the table store at {}: {why}", self.base));
        Trouble::Away(failure.hint("is it running? `feitian up` starts it; --ots-endpoint names another one"))
    }
}
