//! The stylesheet, the script and the icon: compiled in, served under names that change with their content.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use feitian_api::{Answer, Call, page};
use feitian_base::{Error, Kind};

/// One file.
pub(crate) struct Asset {
    /// With a part that stands for the content, for example `style-0123456789abcdef.css`.
    pub(crate) name: String,
    kind: &'static str,
    content: &'static str,
}

/// The files of the pages.
pub(crate) struct Assets {
    pub(crate) style: Asset,
    pub(crate) script: Asset,
    pub(crate) icon: Asset,
    pub(crate) app_style: Asset,
    pub(crate) app_script: Asset,
    /// Only for the workbench.
    pub(crate) paint_script: Asset,
}

/// The files of the pages.
pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("style", "css", "text/css; charset=utf-8", include_str!("../assets/style.css")),
    script: Asset::new("logview", "js", "text/javascript; charset=utf-8", include_str!("../assets/logview.js")),
    icon: Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")),
    app_style: Asset::new("console", "css", "text/css; charset=utf-8", include_str!("../assets/console.css")),
    app_script: Asset::new("console", "js", "text/javascript; charset=utf-8", include_str!("../assets/console.js")),
    paint_script: Asset::new("paint", "js", "text/javascript; charset=utf-8", include_str!("../assets/paint.js")),
});

/// A browser may keep a file for a year: another content has another name.
const FOR_A_YEAR: &str = "public, max-age=31536000, immutable";

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, content: &'static str) -> Self {
        Self { name: format!("{stem}-{:016x}.{ending}", hash(content)), kind, content }
    }
}

/// FNV-1a, 64 bits: enough to tell two builds of our own files apart.
fn hash(content: &str) -> u64 {
    content.bytes().fold(0xcbf2_9ce4_8422_2325, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `/console/assets/{name}`: one file, for everybody.
pub(crate) async fn serve(call: Call) -> Answer {
    let name = call.segment("name");
    let Assets { style, script, icon, app_style, app_script, paint_script } = &*ASSETS;
    let all = [style, script, icon, app_style, app_script, paint_script];
    let Some(asset) = all.into_iter().find(|asset| asset.name == name) else {
        return Err(Error::new(
            Kind::NotFound,
            "NoSuchObject",
            "there is no such file; a page of another version asked",
        ));
    };
    let mut response = Response::new(Body::from(asset.content));
    let headers = response.headers_mut();
    page::harden(headers, "");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOR_A_YEAR));
    Ok(response)
}
