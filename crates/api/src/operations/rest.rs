//! Operations of ODPS REST.

use super::{Operation, Surface, run};
use crate::odps::{
    functions, instance_detail, instance_docs, instances, partitions, projects, quotas, resources, schemas, security,
    service, tables, volume_items, volumes,
};
use crate::rights::{Object, Right};

const READ: Right = Right::Project("odps:Read");
const ANY_USER: Right = Right::AnyUser("odps:Read");
const LIST: Right = Right::Project("odps:List");
const WRITE: Right = Right::Project("odps:Write");
const TABLE: Right = Right::Object("odps:Describe", Object::Table);
const INSTANCE: Right = Right::Object("odps:Read", Object::Instance);
const STOP: Right = Right::Object("odps:Write", Object::Instance);
const FUNCTION: Right = Right::Object("odps:Read", Object::Function);
const RESOURCE: Right = Right::Object("odps:Read", Object::Resource);
const VOLUME: Right = Right::Object("odps:Read", Object::Volume);
const MAKE_VOLUME: Right = Right::Makes("odps:CreateVolume");
const CHANGE_VOLUME: Right = Right::Changes("odps:Write", Object::Volume);
const DROP_VOLUME: Right = Right::Changes("odps:Delete", Object::Volume);
const SCHEMA: Right = Right::Object("odps:Read", Object::Schema);
const ROLE: Right = Right::Object("odps:Read", Object::Role);
const MAKE_SCHEMA: Right = Right::Makes("odps:CreateSchema");
const DROP_SCHEMA: Right = Right::Changes("odps:Drop", Object::Schema);
const MAKE_FUNCTION: Right = Right::Makes("odps:CreateFunction");
const CHANGE_FUNCTION: Right = Right::Changes("odps:Write", Object::Function);
const DROP_FUNCTION: Right = Right::Changes("odps:Delete", Object::Function);
const MAKE_RESOURCE: Right = Right::Makes("odps:CreateResource");
const CHANGE_RESOURCE: Right = Right::Changes("odps:Write", Object::Resource);
const DROP_RESOURCE: Right = Right::Changes("odps:Delete", Object::Resource);
const MODEL: Right = Right::Object("odps:Read", Object::Model);

pub(super) const GROUPS: &[(&str, &[Operation])] = &[
    ("Service", SERVICE),
    ("Projects", PROJECTS),
    ("Schemas", SCHEMAS),
    ("Tables and partitions", TABLES),
    ("Functions", FUNCTIONS),
    ("Resources", RESOURCES),
    ("Volumes", VOLUMES),
    ("Instances", INSTANCES),
    ("Security", SECURITY),
    ("Quotas", QUOTAS),
    ("Machine learning", MODELS),
    ("MCQA 2 (interactive)", MCQA),
];

const fn op(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    right: Right,
) -> Operation {
    Operation::new(name, Surface::Rest, method, path, query, right)
}

const SERVICE: &[Operation] = &[
    op("GetLogviewHost", "GET", "/logview/host", &[], Right::Signed).done(run!(service::logview_host)),
    op("GetJobInsightHost", "GET", "/webconsole/host", &[], Right::Signed)
        .refused("there is no job insight page; clients fall back to Logview"),
    op("GetCatalogEndpoint", "GET", "/catalogapi", &[], Right::Signed).refused("there is no catalog service"),
    op("GetTenant", "GET", "/tenants", &[], Right::Signed)
        .partial(run!(service::tenant), "one tenant; two-part names are project and table unless a job says otherwise"),
    op("PutUsageLogs", "PUT", "/projects/{project}/logs", &[], Right::Signed)
        .partial(run!(service::logs), "accepted and dropped"),
    op("GetMcqaConnection", "GET", "/connection/mcqa", &[], Right::Signed).refused("no interactive quotas"),
    op("GetTunnelEndpoint", "GET", "/projects/{project}/tunnel", &["service"], ANY_USER)
        .done(run!(service::tunnel_endpoint)),
];

const POLICIES: &str = "what rights are asked for; conditions and others are refused by name";

const PROJECTS: &[Operation] = &[
    op("ListProjects", "GET", "/projects", &[], Right::Account)
        .partial(run!(projects::list), "filters name and owner; others are refused"),
    op("CreateProject", "POST", "/projects", &[], Right::Account).refused("use the admin API"),
    op("GetProject", "GET", "/projects/{project}", &[], READ)
        .flags(&["extended", "properties"])
        .done(run!(projects::get)),
    op("UpdateProject", "PUT", "/projects/{project}", &[], Right::Owner).refused("use the admin API"),
    op("DeleteProject", "DELETE", "/projects/{project}", &[], Right::Owner).refused("use the admin API"),
    op("GetProjectSystem", "GET", "/projects/{project}/system", &[], READ).refused("no system information"),
    op("GetProjectPolicy", "GET", "/projects/{project}", &["policy"], Right::Member).done(run!(security::policy)),
    op("PutProjectPolicy", "PUT", "/projects/{project}", &["policy"], Right::Owner)
        .partial(run!(security::put_policy), POLICIES),
    op("GetSecurityConfiguration", "GET", "/projects/{project}", &["security_configuration"], READ)
        .done(run!(security::configuration)),
    op("PutSecurityConfiguration", "PUT", "/projects/{project}", &["security_configuration"], Right::Owner).partial(
        run!(security::put_configuration),
        "grants, policies, labels and what creators may; others are refused",
    ),
];

const SCHEMAS: &[Operation] = &[
    op("ListSchemas", "GET", "/projects/{project}/schemas", &[], LIST).done(run!(schemas::list)),
    op("CreateSchema", "POST", "/projects/{project}/schemas", &[], MAKE_SCHEMA).done(run!(schemas::create)),
    op("GetSchema", "GET", "/projects/{project}/schemas/{schema}", &[], SCHEMA).done(run!(schemas::get)),
    op("DeleteSchema", "DELETE", "/projects/{project}/schemas/{schema}", &[], DROP_SCHEMA).done(run!(schemas::delete)),
];

const TABLES: &[Operation] = &[
    op("ListTables", "GET", "/projects/{project}/tables", &[], LIST).flags(&["extended"]).done(run!(tables::list)),
    op("GetTable", "GET", "/projects/{project}/tables/{table}", &[], TABLE).done(run!(tables::get)),
    op("GetTableExtended", "GET", "/projects/{project}/tables/{table}", &["extended"], TABLE)
        .done(run!(tables::get_extended)),
    op(
        "PreviewTable",
        "GET",
        "/projects/{project}/tables/{table}",
        &["data"],
        Right::Object("odps:Select", Object::Table),
    )
    .done(run!(tables::preview)),
    op("ListPartitions", "GET", "/projects/{project}/tables/{table}", &["partitions"], TABLE)
        .flags(&["reverse"])
        .done(run!(partitions::list)),
    op("GetPartition", "GET", "/projects/{project}/tables/{table}", &["partition"], TABLE).done(run!(partitions::get)),
    op("GetPartitionExtended", "GET", "/projects/{project}/tables/{table}", &["partition", "extended"], TABLE)
        .done(run!(partitions::get_extended)),
];

const NO_UDF: &str = "queries run functions in Python 3; those in Java are refused";
const VOLUME_RESOURCES: &str = "those of volumes are references to files of partitions, which no function can read";

const FUNCTIONS: &[Operation] = &[
    op("ListFunctions", "GET", "/projects/{project}/registration/functions", &[], LIST).done(run!(functions::list)),
    op("CreateFunction", "POST", "/projects/{project}/registration/functions", &[], MAKE_FUNCTION)
        .partial(run!(functions::create), NO_UDF),
    op("GetFunction", "GET", "/projects/{project}/registration/functions/{function}", &[], FUNCTION)
        .done(run!(functions::get)),
    op("UpdateFunction", "PUT", "/projects/{project}/registration/functions/{function}", &[], CHANGE_FUNCTION)
        .partial(run!(functions::update), NO_UDF),
    op(
        "ChangeFunctionOwner",
        "PUT",
        "/projects/{project}/registration/functions/{function}",
        &["updateowner"],
        CHANGE_FUNCTION,
    )
    .done(run!(functions::change_owner)),
    op("DeleteFunction", "DELETE", "/projects/{project}/registration/functions/{function}", &[], DROP_FUNCTION)
        .done(run!(functions::delete)),
];

const RESOURCES: &[Operation] = &[
    op("ListResources", "GET", "/projects/{project}/resources", &[], LIST).done(run!(resources::list)),
    op("CreateResource", "POST", "/projects/{project}/resources", &[], MAKE_RESOURCE)
        .partial(run!(resources::create), VOLUME_RESOURCES),
    op("CreateResourcePart", "POST", "/projects/{project}/resources", &["rIsPart"], MAKE_RESOURCE)
        .done(run!(resources::create)),
    op("MergeResourceParts", "POST", "/projects/{project}/resources", &["rOpMerge"], WRITE)
        .done(run!(resources::merge_new)),
    op("GetResource", "GET", "/projects/{project}/resources/{resource}", &[], RESOURCE).done(run!(resources::get)),
    op("GetResourceMeta", "GET", "/projects/{project}/resources/{resource}", &["meta"], RESOURCE)
        .done(run!(resources::meta)),
    op("UpdateResource", "PUT", "/projects/{project}/resources/{resource}", &[], CHANGE_RESOURCE)
        .partial(run!(resources::update), VOLUME_RESOURCES),
    op("MergeResourcePartsInto", "PUT", "/projects/{project}/resources/{resource}", &["rOpMerge"], WRITE)
        .done(run!(resources::merge_into)),
    op("DeleteResource", "DELETE", "/projects/{project}/resources/{resource}", &[], DROP_RESOURCE)
        .done(run!(resources::delete)),
];

const VOLUMES: &[Operation] = &[
    op("ListVolumes", "GET", "/projects/{project}/volumes", &[], LIST).done(run!(volumes::list)),
    op("CreateVolume", "POST", "/projects/{project}/volumes", &[], MAKE_VOLUME)
        .flags(&["autoMkDir", "accelerate"])
        .partial(run!(volumes::create), "types NEW and OLD, without properties; EXTERNAL is refused"),
    op("GetVolumeMeta", "GET", "/projects/{project}/volumes/{volume}", &["meta"], VOLUME)
        .partial(run!(volumes::meta), "the volume, or what x-odps-volume-fs-path names; no signed URLs"),
    op("ListVolumeItems", "GET", "/projects/{project}/volumes/{volume}", &[], VOLUME).done(run!(volumes::items)),
    op("CreateVolumeDirectory", "POST", "/projects/{project}/volumes/{volume}", &[], CHANGE_VOLUME)
        .done(run!(volume_items::make_directory)),
    op("MoveVolumeItem", "PUT", "/projects/{project}/volumes/{volume}", &["meta"], CHANGE_VOLUME)
        .partial(run!(volume_items::change), "Replication is kept and shown; there is one copy"),
    op("DeleteVolume", "DELETE", "/projects/{project}/volumes/{volume}", &[], DROP_VOLUME)
        .flags(&["autoRmDir"])
        .done(run!(volumes::delete)),
    op("GetVolumePartition", "GET", "/projects/{project}/volumes/{volume}/{part}", &[], VOLUME)
        .done(run!(volumes::partition)),
    op("ListVolumeFiles", "GET", "/projects/{project}/volumes/{volume}/{part}", &["path"], VOLUME)
        .partial(run!(volumes::files), "the whole partition; a path in it is refused"),
    op("GetVolumePartitionMeta", "GET", "/projects/{project}/volumes/{volume}/{part}", &["meta"], VOLUME)
        .done(run!(volumes::partition)),
    op("DeleteVolumePartition", "DELETE", "/projects/{project}/volumes/{volume}/{part}", &[], DROP_VOLUME)
        .done(run!(volumes::delete_partition)),
];

const INSTANCES: &[Operation] = &[
    op("ListInstances", "GET", "/projects/{project}/instances", &[], LIST)
        .flags(&["status", "daterange", "jobname", "quotaIndex"])
        .partial(run!(instances::list), "filters status, daterange, onlyowner; others are refused"),
    op("ListCachedInstances", "GET", "/projects/{project}/cachedinstances", &[], LIST)
        .partial(run!(instances::list_cached), "running and waiting jobs; filters are refused"),
    op("CreateInstance", "POST", "/projects/{project}/instances", &[], Right::Sql)
        .partial(run!(instances::create), "tasks SQL, SQLCost, SQLRT and Merge; one task per job"),
    op("GetInstance", "GET", "/projects/{project}/instances/{instance}", &[], INSTANCE).done(run!(instances::get)),
    op("GetInstanceStatus", "GET", "/projects/{project}/instances/{instance}", &["instancestatus"], INSTANCE)
        .done(run!(instances::wait)),
    op("GetTaskStatus", "GET", "/projects/{project}/instances/{instance}", &["taskstatus"], INSTANCE)
        .done(run!(instance_docs::task_status)),
    op("GetInstanceResult", "GET", "/projects/{project}/instances/{instance}", &["result"], INSTANCE)
        .done(run!(instance_docs::result)),
    op("GetInstanceSource", "GET", "/projects/{project}/instances/{instance}", &["source"], INSTANCE)
        .done(run!(instance_docs::source)),
    op("GetInstanceProgress", "GET", "/projects/{project}/instances/{instance}", &["instanceprogress"], INSTANCE)
        .done(run!(instance_docs::progress)),
    op("GetInstanceSummary", "GET", "/projects/{project}/instances/{instance}", &["instancesummary"], INSTANCE)
        .done(run!(instance_detail::summary)),
    op("GetInstanceDetail", "GET", "/projects/{project}/instances/{instance}", &["instancedetail"], INSTANCE)
        .partial(run!(instance_detail::detail), "workers have no address; the log is that of the job"),
    op("GetTaskDetail", "GET", "/projects/{project}/instances/{instance}", &["detail"], INSTANCE)
        .partial(run!(instance_detail::detail), "workers have no address; the log is that of the job"),
    op("GetWorkerLog", "GET", "/projects/{project}/instances/{instance}", &["log"], INSTANCE)
        .flags(&["id", "logtype", "size"])
        .partial(run!(instance_detail::log), "what user code writes, of the whole job; stdout and stderr are one"),
    op("GetTaskInfo", "GET", "/projects/{project}/instances/{instance}", &["info"], INSTANCE).flags(&["key"]).partial(
        run!(instance_detail::info),
        "key warnings; of interactive sessions their status, results and sources",
    ),
    op("PutTaskInfo", "PUT", "/projects/{project}/instances/{instance}", &["info"], STOP)
        .partial(run!(instance_detail::put_info), "queries of interactive sessions; answers empty elsewhere"),
    op("GetInstanceQuota", "GET", "/projects/{project}/instances/{instance}", &["instancequota"], INSTANCE)
        .partial(run!(instance_detail::quota), "the one default quota"),
    op("GetInstanceQueueing", "GET", "/projects/{project}/instances/{instance}", &["cached"], INSTANCE)
        .done(run!(instance_detail::queueing)),
    op("StopInstance", "PUT", "/projects/{project}/instances/{instance}", &[], STOP).done(run!(instances::stop)),
];

const SECURITY: &[Operation] = &[
    op("RunSecurityQuery", "POST", "/projects/{project}/authorization", &[], ANY_USER).partial(
        run!(security::query),
        "users, roles, grants on the project and its tables, policies, labels; others are refused",
    ),
    op("SignBearerToken", "POST", "/projects/{project}/authorization", &["sign_bearer_token"], Right::Signer)
        .partial(run!(security::sign_token), "policies with Effect, Action and Resource"),
    op("GetSecurityQuery", "GET", "/projects/{project}/authorization/{query}", &[], ANY_USER)
        .partial(run!(security::ended), "INSTALL PACKAGE, which fails; all others answer at once"),
    op("ListUsers", "GET", "/projects/{project}/users", &[], Right::Member).done(run!(security::users)),
    op("GetUser", "GET", "/projects/{project}/users/{user}", &[], Right::Member).done(run!(security::user)),
    op("ListUserRoles", "GET", "/projects/{project}/users/{user}", &["roles"], Right::Member)
        .done(run!(security::user_roles)),
    op("ListRoles", "GET", "/projects/{project}/roles", &[], LIST).done(run!(security::roles)),
    op("GetRole", "GET", "/projects/{project}/roles/{role}", &[], ROLE).done(run!(security::role)),
    op("ListRoleUsers", "GET", "/projects/{project}/roles/{role}", &["users"], ROLE).done(run!(security::role_users)),
    op("GetRolePolicy", "GET", "/projects/{project}/roles/{role}", &["policy"], Right::Member)
        .done(run!(security::policy)),
    op("PutRolePolicy", "PUT", "/projects/{project}/roles/{role}", &["policy"], Right::Owner)
        .partial(run!(security::put_policy), POLICIES),
];

const QUOTAS: &[Operation] = &[
    op("ListQuotas", "GET", "/quotas", &[], Right::Signed).partial(run!(quotas::list), "the one default quota"),
    op("GetQuota", "GET", "/quotas/{quota}", &[], Right::Signed).partial(run!(quotas::get), "the one default quota"),
];

const NO_MODELS: &str = "machine learning is not part of feitian";

const MODELS: &[Operation] = &[
    op("ListXFlows", "GET", "/projects/{project}/xflows", &[], LIST).refused(NO_MODELS),
    op("CreateXFlow", "POST", "/projects/{project}/xflows", &[], WRITE).refused(NO_MODELS),
    op("GetXFlow", "GET", "/projects/{project}/xflows/{model}", &[], MODEL).refused(NO_MODELS),
    op("UpdateXFlow", "PUT", "/projects/{project}/xflows/{model}", &[], WRITE).refused(NO_MODELS),
    op("DeleteXFlow", "DELETE", "/projects/{project}/xflows/{model}", &[], WRITE).refused(NO_MODELS),
    op("ListOfflineModels", "GET", "/projects/{project}/offlinemodels", &[], LIST).refused(NO_MODELS),
    op("GetOfflineModel", "GET", "/projects/{project}/offlinemodels/{model}", &[], MODEL).refused(NO_MODELS),
    op("DeleteOfflineModel", "DELETE", "/projects/{project}/offlinemodels/{model}", &[], WRITE).refused(NO_MODELS),
];

const NO_MCQA: &str = "no interactive quotas; clients fall back to ordinary instances";

const MCQA: &[Operation] = &[
    op("McqaCreateInstance", "POST", "/mcqa/projects/{project}/instances", &[], Right::Sql).refused(NO_MCQA),
    op("McqaGetInstance", "GET", "/mcqa/projects/{project}/instances/{instance}", &[], INSTANCE)
        .flags(&["instancestatus", "taskstatus", "result", "source", "info", "detail", "cached", "instancesummary"])
        .refused(NO_MCQA),
    op("McqaUpdateInstance", "PUT", "/mcqa/projects/{project}/instances/{instance}", &[], STOP)
        .flags(&["info"])
        .refused(NO_MCQA),
];
