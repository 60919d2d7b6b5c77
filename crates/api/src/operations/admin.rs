//! Operations of our own admin API.

use super::{Operation, Surface, run};
use crate::admin::{accounts, instances, keys, ots, projects, server, tables};
use crate::rights::Right;

pub(super) const GROUPS: &[(&str, &[Operation])] = &[("Admin API (feitian's own)", ADMIN)];

const fn op(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    right: Right,
) -> Operation {
    Operation::new(name, Surface::Admin, method, path, query, right)
}

const ACCOUNT: &str = "/admin/v1/accounts/{account}";
const OTS_INSTANCE: &str = "/admin/v1/ots/instances/{ots}";
const OTS_TABLE: &str = "/admin/v1/ots/instances/{ots}/tables/{ots_table}";
const KEY: &str = "/admin/v1/keys/{key}";
const PROJECT: &str = "/admin/v1/projects/{project}";
const TABLE: &str = "/admin/v1/projects/{project}/tables/{table}";
const INSTANCE: &str = "/admin/v1/projects/{project}/instances/{instance}";

const ADMIN: &[Operation] = &[
    op("AdminWhoAmI", "GET", "/admin/v1/whoami", &[], Right::Account).done(run!(server::whoami)),
    op("AdminStatus", "GET", "/admin/v1/status", &[], Right::Account).done(run!(server::status)),
    op("AdminTasks", "GET", "/admin/v1/tasks", &[], Right::Admin).done(run!(server::tasks)),
    op("AdminCollect", "POST", "/admin/v1/collect", &[], Right::Admin).done(run!(server::collect)),
    op("AdminListAccounts", "GET", "/admin/v1/accounts", &[], Right::Admin).done(run!(accounts::list)),
    op("AdminCreateAccount", "POST", "/admin/v1/accounts", &[], Right::Admin).done(run!(accounts::create)),
    op("AdminEnableAccount", "POST", "/admin/v1/accounts/{account}/enable", &[], Right::Admin)
        .done(run!(accounts::enable)),
    op("AdminDisableAccount", "POST", "/admin/v1/accounts/{account}/disable", &[], Right::Admin)
        .done(run!(accounts::disable)),
    op("AdminGetAccount", "GET", ACCOUNT, &[], Right::Admin).done(run!(accounts::get)),
    op("AdminListKeys", "GET", "/admin/v1/keys", &[], Right::Account).done(run!(keys::list)),
    op("AdminCreateKey", "POST", "/admin/v1/keys", &[], Right::Account).done(run!(keys::create)),
    op("AdminEnableKey", "POST", "/admin/v1/keys/{key}/enable", &[], Right::Account).done(run!(keys::enable)),
    op("AdminDisableKey", "POST", "/admin/v1/keys/{key}/disable", &[], Right::Account).done(run!(keys::disable)),
    op("AdminDeleteKey", "DELETE", KEY, &[], Right::Account).done(run!(keys::delete)),
    op("AdminListOtsInstances", "GET", "/admin/v1/ots/instances", &[], Right::Account).done(run!(ots::list)),
    op("AdminCreateOtsInstance", "POST", "/admin/v1/ots/instances", &[], Right::Account).done(run!(ots::create)),
    op("AdminGetOtsInstance", "GET", OTS_INSTANCE, &[], Right::Account).done(run!(ots::get)),
    op("AdminDeleteOtsInstance", "DELETE", OTS_INSTANCE, &[], Right::Account).done(run!(ots::delete)),
    op("AdminListOtsTables", "GET", "/admin/v1/ots/instances/{ots}/tables", &[], Right::Account)
        .done(run!(ots::tables::list)),
    op("AdminGetOtsTable", "GET", OTS_TABLE, &[], Right::Account).done(run!(ots::tables::get)),
    op("AdminOtsRows", "GET", "/admin/v1/ots/instances/{ots}/tables/{ots_table}/rows", &[], Right::Account)
        .done(run!(ots::rows::get)),
    op("AdminListProjects", "GET", "/admin/v1/projects", &[], Right::Account).done(run!(projects::list)),
    op("AdminCreateProject", "POST", "/admin/v1/projects", &[], Right::Account).done(run!(projects::create)),
    op("AdminGetProject", "GET", PROJECT, &[], Right::Member).done(run!(projects::get)),
    op("AdminDeleteProject", "DELETE", PROJECT, &[], Right::Owner).done(run!(projects::delete)),
    op("AdminSetProperties", "PUT", "/admin/v1/projects/{project}/properties", &[], Right::Owner)
        .done(run!(projects::set_properties)),
    op("AdminListMembers", "GET", "/admin/v1/projects/{project}/members", &[], Right::Member)
        .done(run!(projects::members)),
    op("AdminAdmit", "POST", "/admin/v1/projects/{project}/members", &[], Right::Owner).done(run!(projects::admit)),
    op("AdminExpel", "DELETE", "/admin/v1/projects/{project}/members/{account}", &[], Right::Owner)
        .done(run!(projects::expel)),
    op("AdminListSchemas", "GET", "/admin/v1/projects/{project}/schemas", &[], Right::Member)
        .done(run!(tables::schemas)),
    op("AdminListTables", "GET", "/admin/v1/projects/{project}/tables", &[], Right::Member).done(run!(tables::list)),
    op("AdminGetTable", "GET", TABLE, &[], Right::Member).done(run!(tables::get)),
    op("AdminListPartitions", "GET", "/admin/v1/projects/{project}/tables/{table}/partitions", &[], Right::Member)
        .done(run!(tables::partitions)),
    op("AdminTableRows", "GET", "/admin/v1/projects/{project}/tables/{table}/rows", &[], Right::Member)
        .done(run!(tables::rows)),
    op("AdminListFunctions", "GET", "/admin/v1/functions", &[], Right::Account).done(run!(tables::functions)),
    op("AdminSubmitSql", "POST", "/admin/v1/projects/{project}/sql", &[], Right::Submit).done(run!(instances::submit)),
    op("AdminListInstances", "GET", "/admin/v1/projects/{project}/instances", &[], Right::Member)
        .done(run!(instances::list)),
    op("AdminGetInstance", "GET", INSTANCE, &[], Right::Job).done(run!(instances::get)),
    op("AdminStopInstance", "POST", "/admin/v1/projects/{project}/instances/{instance}/stop", &[], Right::Job)
        .done(run!(instances::stop)),
    op("AdminInstanceRows", "GET", "/admin/v1/projects/{project}/instances/{instance}/rows", &[], Right::Job)
        .done(run!(instances::rows)),
];
