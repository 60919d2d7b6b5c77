//! `sys.config`: one row for each setting of the process that runs the query.

use std::sync::Arc;

use feitian_base::Result;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::column::{Col, Type, may, must};
use super::{Pages, Reading};
use crate::Setting;

impl Pages for Config {
    type Row = Setting;

    const COLUMNS: &'static [Col<Setting>] = &[
        must("name", Type::Text, "Name of the setting, as in feitian.toml.", |s| (&s.name).into()),
        may("value", Type::Text, "Its value; NULL when it is unset or not for the reader. Secrets are masked.", |s| {
            s.value.as_ref().into()
        }),
        must("source", Type::Text, "default, file, environment or flag; administrators see which one.", |s| {
            (&s.source).into()
        }),
        must("description", Type::Text, "What it is for.", |s| (&s.description).into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Setting>>>> {
        async move { Ok(self.rows.take()) }.boxed()
    }
}

/// Gives out the settings once.
pub(super) struct Config {
    rows: Option<Vec<Setting>>,
}

impl Config {
    pub(super) fn new(reading: &Reading) -> Self {
        let config = Arc::clone(&reading.warehouse.config);
        let is_admin = reading.viewer.is_admin;
        Self { rows: Some(config.settings.iter().map(|s| shown(s, is_admin)).collect()) }
    }
}

/// A setting as somebody may see it: paths of the machine, which sources name too, are for administrators.
fn shown(setting: &Setting, is_admin: bool) -> Setting {
    let mut shown = setting.clone();
    if is_admin {
        if !setting.place.is_empty() {
            shown.source = format!("{} {}", setting.source, setting.place);
        }
    } else if setting.is_private {
        shown.value = None;
    }
    shown
}
