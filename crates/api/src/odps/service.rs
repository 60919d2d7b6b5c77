//! Questions about the service itself.

use axum::http::StatusCode;
use feitian_base::{Error, Kind};
use serde_json::json;

use crate::answers;
use crate::call::{Answer, Call};

/// The address before `/logview/`, as plain text.
pub async fn logview_host(call: Call) -> Answer {
    if !call.state.settings.logview {
        return Err(Error::new(Kind::NotFound, "NoSuchObject", "job pages are switched off on this server"));
    }
    answers::text(call.origin.base())
}

/// One tenant holds every project. Two-part names mean project and table unless a job asks for schemas.
pub async fn tenant(call: Call) -> Answer {
    let caller = call.caller()?;
    let created = call.state.settings.started_ms / 1000;
    answers::json(&json!({
        "Tenant": {
            "Name": "feitian",
            "OwnerId": caller.account_id,
            "TenantId": "1",
            "TenantState": "NORMAL",
            "CreateTime": created,
            "UpdateTime": created,
            "TenantMeta": {},
            "Parameters": { "odps.namespace.schema": "false" },
        }
    }))
}

/// Clients send counts of the calls they made. Nobody reads them.
pub async fn logs(call: Call) -> Answer {
    call.document().await?;
    answers::empty(StatusCode::OK)
}

/// `host:port` of the tunnel, which is this server; clients put the scheme of their endpoint before it.
pub async fn tunnel_endpoint(call: Call) -> Answer {
    answers::text(format!("{}{}", call.origin.host_port(), call.origin.prefix))
}
