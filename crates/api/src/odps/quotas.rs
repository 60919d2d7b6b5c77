//! The one quota that there is.

use feitian_base::{Error, Kind};
use feitian_wire::xml::docs;

use crate::answers;
use crate::call::{Answer, Call};

/// The quota of every project.
pub const NAME: &str = "os_default";

fn document(call: &Call) -> docs::Quota {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    docs::Quota {
        name: NAME.into(),
        nickname: NAME.into(),
        id: "1".into(),
        cluster: "default".into(),
        region: call.state.settings.region.clone(),
        tenant_id: "1".into(),
        status: "ON".into(),
        kind: "FUXI_OFFLINE".into(),
        cpu: cores * 100,
        memory: 0,
    }
}

pub async fn list(call: Call) -> Answer {
    answers::xml(docs::quotas([&document(&call)], &docs::Page::default()))
}

pub async fn get(call: Call) -> Answer {
    let name = call.segment("quota");
    if name != NAME {
        let message = format!("there is no quota '{name}', only '{NAME}'");
        return Err(Error::new(Kind::NotFound, "NoSuchObject", message));
    }
    answers::xml(docs::quota(&document(&call)))
}
