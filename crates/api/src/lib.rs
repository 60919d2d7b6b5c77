//! Every network edge of feitian: it translates and decides nothing.
//!
//! A request goes through one path (`dispatch`): [`operations`] says what it is, `auth` who sent it, [`rights`] whether
//! that may be, then its handler in `odps` (REST), `tunnel`, [`admin`], `health` or `logview` calls the [`Warehouse`]
//! and answers. What comes out when something fails stands in `error`.
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
mod error;
mod health;
mod identity;
mod jobs;
pub mod keys;
mod logview;
mod metrics;
mod odps;
pub mod operations;
mod origin;
mod policy;
mod query;
pub mod rights;
pub mod secrets;
mod server;
mod settings;
mod state;
mod tokens;
mod tunnel;
pub mod warehouse;

pub use metrics::Metrics;
pub use operations::compat_markdown;
pub use secrets::Secrets;
pub use server::{router, serve};
pub use settings::{Limits, Network, Settings};
pub use state::AppState;
pub use warehouse::Warehouse;
