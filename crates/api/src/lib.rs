//! Every network edge of feitian: it translates and decides nothing.
//!
//! A request goes through one path (`dispatch`): [`operations`] says what it is, `auth` who sent it, [`rights`] whether
//! that may be, then its handler in `odps` (REST), `tunnel`, `storage`, [`admin`] or `health` calls the [`Warehouse`] and
//! answers. What comes out when something fails stands in `error`. Pages for people stand in a crate above this one and
//! reach the same path through [`AppState::with_pages`]. The table store (`ots`) has a listener, a list of operations and
//! documents of its own.
//!
//! The binary builds an [`AppState`] from its parts, turns it into a router and serves it:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use feitian_api::{AppState, Secrets, Settings, Warehouse, router, serve};
//! # async fn start(warehouse: Arc<dyn Warehouse>, meta: feitian_meta::Meta) -> feitian_base::Result<()> {
//! let tasks = feitian_base::Tasks::new();
//! let secrets = Secrets::new(&[0; 32]);
//! let state = AppState::open(warehouse, meta, secrets, Settings::default(), tasks.clone()).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:7700").await?;
//! tasks.spawn("http server", serve(listener, router(state.clone()), state));
//! # Ok(())
//! # }
//! ```

pub mod admin;
mod answers;
mod auth;
mod call;
mod csv;
mod dispatch;
pub mod download;
mod error;
mod health;
mod identity;
mod jobs;
pub mod keys;
mod metrics;
mod odps;
pub mod operations;
mod origin;
mod ots;
pub mod page;
mod query;
pub mod refusal;
pub mod rights;
mod same_origin;
pub mod secrets;
mod server;
pub mod sessions;
mod settings;
mod state;
mod storage;
mod tokens;
mod tunnel;
pub mod warehouse;

pub use answers::json;
pub use call::{Answer, Call};
pub use csv::{csv_answer, instance_zone, project_zone, text_rows};
pub use metrics::Metrics;
pub use operations::compat_markdown;
pub use origin::Origin;
pub use ots::{Ots, instance_name as ots_instance_name, ots_router};
pub use query::Query;
pub use secrets::Secrets;
pub use server::{router, serve};
pub use settings::{Limits, Network, Settings};
pub use state::AppState;
pub use warehouse::Warehouse;
