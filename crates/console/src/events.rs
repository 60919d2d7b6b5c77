//! What changes on the page of a job that has not ended, as server-sent events (HTML standard, section 9.2).
//!
//! An event `part` has the id of an element on its first line and the element's HTML on the others. When the job has
//! ended, the last parts hold everything, and an event `end` follows.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use chrono_tz::Tz;
use feitian_api::{Answer, Call, admin, page};
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::Instance;
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::job::{self, Around, Job};
use crate::logview;
use crate::view::Frame;

/// Between two looks at the job. Its end is told at once.
const PAUSE: Duration = Duration::from_secs(1);
/// Then the browser has to ask again, and who it is and what it may is checked again.
const LONGEST: Duration = Duration::from_secs(15);
/// Pages that may follow their jobs at once.
const MOST: usize = 256;
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MOST)));
/// How soon a browser asks again, in milliseconds.
const RETRY_MS: u32 = 2000;

/// `/logview/events`: the parts of a job's page as they change. Ends with the job, and when the server stops.
pub(crate) async fn follow(call: Call) -> Answer {
    let frame = logview::frame(&call)?;
    let place = PLACES.clone().try_acquire_owned().map_err(|_| {
        let message = "too many pages follow their jobs; load this one again later";
        Error::new(Kind::Throttled, "FlowExceeded", message)
    })?;
    let instance = logview::instance(&call).await?;
    let zone = job::zone(&call, &instance).await?;
    let stop = call.state.tasks.stop_token();
    let follower = Follower {
        call,
        frame,
        zone,
        stop,
        until: Instant::now() + LONGEST,
        sent: HashMap::new(),
        over: false,
        _place: place,
    };
    // What a failed look would say is in the log; the browser comes back.
    let events = stream::unfold(follower, |mut follower| async move {
        let chunk = follower.next().await?;
        Some((Ok::<_, Infallible>(chunk), follower))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    page::harden(headers, "");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that gather answers before they pass them on (nginx) let this one through.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One browser that follows one job.
struct Follower {
    call: Call,
    frame: Frame,
    zone: Tz,
    stop: CancellationToken,
    until: Instant,
    /// What each part was when it was last sent.
    sent: HashMap<&'static str, String>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next piece of the answer; none ends it.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over || self.stop.is_cancelled() || Instant::now() >= self.until {
            return None;
        }
        let stop = self.stop.clone();
        let looked = tokio::select! {
            looked = self.look() => looked,
            () = stop.cancelled() => return None,
        };
        looked.inspect_err(|e| tracing::warn!(error = ?e, "the page of a job cannot follow it")).ok()
    }

    async fn look(&mut self) -> Result<Bytes> {
        let is_first = self.sent.is_empty();
        let instance = if is_first { logview::instance(&self.call).await? } else { self.wait().await? };
        let job = Job::look(&self.call, instance, self.zone).await?;
        let mut text = if is_first { format!("retry: {RETRY_MS}\n\n") } else { String::new() };
        if job.is_over() {
            let around = Around::look(&self.call, &job).await?;
            self.over = true;
            for (id, html) in self.frame.last(&job, &around)? {
                part(&mut text, id, &html);
            }
            text.push_str("event: end\ndata: \n\n");
            return Ok(text.into());
        }
        for (id, html) in self.frame.live(&job)? {
            if self.sent.get(id) != Some(&html) {
                part(&mut text, id, &html);
                self.sent.insert(id, html);
            }
        }
        // A comment: it finds out whether anybody still listens.
        if text.is_empty() {
            text.push_str(":\n\n");
        }
        Ok(text.into())
    }

    /// The job after a pause, or at once when it ends.
    async fn wait(&self) -> Result<Instance> {
        admin::ended_of(&self.call, PAUSE).await
    }
}

/// Appends an event. Our HTML has no carriage returns, which would end a line of the stream too.
fn part(text: &mut String, id: &str, html: &str) {
    let _ = writeln!(text, "event: part\ndata: {id}");
    for line in html.replace('\r', "").split('\n') {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    // HTML standard, section 9.2.6: each line of the data begins `data: `, an empty line ends the event.
    #[test]
    fn html_of_several_lines_is_one_event() {
        let mut text = String::new();
        super::part(&mut text, "state", "<p>\r\na\n</p>");
        assert_eq!(text, "event: part\ndata: state\ndata: <p>\ndata: a\ndata: </p>\n\n");
    }
}
