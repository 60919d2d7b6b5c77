//! The texts of the console, in English and in Chinese. What the Logview says too is taken from its words.

crate::words::words! {
    // Around every page.
    brand: "feitian", "飞天";
    nav: "Console", "控制台";
    sections: "Pages of project {project}", "项目 {project} 的页面";
    projects: "Projects", "项目";
    keys: "Access keys", "访问密钥";
    sign_out: "Sign out", "退出登录";
    signed_in_as: "Signed in as", "当前账号";
    same: "The same from a terminal", "在终端里的做法";
    overview: "Tables", "表";
    workbench: "SQL", "SQL 工作台";
    jobs: "Jobs", "作业";
    load: "Load a CSV file", "上传 CSV 文件";
    members: "Members", "成员";
    next_page: "Next page", "下一页";
    first_page: "First page", "第一页";

    // Signing in.
    sign_in: "Sign in", "登录";
    sign_in_about: "Use an access key: the one that feitian up printed, or one made with feitian key create. A key signs in whoever holds its secret, for twelve hours at most.",
        "请使用访问密钥登录：可以是 feitian up 首次启动时打印的密钥，也可以是用 feitian key create 创建的密钥。登录状态最长保持十二小时。";
    access_id: "Access id", "AccessKey ID";
    secret: "Secret", "AccessKey Secret（密钥）";
    sts_token: "Security token", "安全令牌（STS Token）";
    sts_about: "Temporary keys only.", "仅临时密钥需要填写。";
    sign_in_failed: "That did not work", "登录失败";
    no_match: "There is no such access id, or the secret is not the one that belongs to it.",
        "没有这个 AccessKey ID，或者密钥不正确。";
    too_many: "Too many failed attempts with this access id. Wait a few minutes.",
        "这个 AccessKey ID 的失败次数过多，请几分钟后再试。";
    sign_out_about: "This ends the session of this browser. Tokens and keys stay as they are.",
        "这会结束本浏览器的登录状态，不影响任何令牌和密钥。";
    where_is_it: "Where do I find it?", "在哪里可以找到？";
    where_about: "On the machine of the server, in the file credentials of its data directory.",
        "在服务器上，数据目录中的 credentials 文件里。";

    // Projects.
    project: "Project", "项目";
    name: "Name", "名称";
    owner: "Owner", "所有者";
    comment: "Comment", "备注";
    created: "Created", "创建时间";
    modified: "Changed", "修改时间";
    projects_caption: "Projects that you may use", "你可以使用的项目";
    projects_none: "There is no project that you may use. Create one below, or ask an owner to admit your account.",
        "还没有你可以使用的项目。可以在下方创建，或请项目所有者把你的账号加入项目。";
    create_project: "Create a project", "创建项目";
    project_name_about: "2 to 64 lower-case letters, digits and underscores, beginning with a letter.",
        "2 到 64 个小写字母、数字或下划线，以字母开头。";
    create: "Create", "创建";
    not_done: "That was not done", "操作没有完成";

    // Members.
    member: "Account", "账号";
    members_caption: "Accounts that may use the project", "可以使用本项目的账号";
    is_owner: "owner", "所有者";
    admit: "Admit an account", "加入账号";
    admit_about: "The name or the id of an account, for example ALIYUN$anna.", "账号的名称或编号，例如 ALIYUN$anna。";
    admit_do: "Admit", "加入";
    expel: "Expel", "移除";
    expel_whom: "Expel {account}", "移除 {account}";
    members_read_only: "Only the owner can admit and expel accounts.", "只有所有者可以加入或移除账号。";

    // Tables.
    table: "Table", "表";
    tables_caption: "Tables by name", "按名称排列的表";
    tables_none: "There is no table here yet.", "这里还没有表。";
    tables_none_do: "Load a CSV file, or create one with SQL.", "可以上传 CSV 文件，或用 SQL 创建。";
    schemas: "Schemas", "Schema 列表";
    filter_name: "Name begins with", "名称前缀";
    filter: "Filter", "筛选";
    kind: "Kind", "类型";
    kind_table: "table", "表";
    kind_view: "view", "视图";
    size: "Size", "大小";
    rows: "Rows", "行数";
    files: "Files", "文件数";
    many_partitions: "many partitions: see its page", "分区很多，请看表的页面";
    lifecycle: "Lifecycle", "生命周期";
    lifecycle_days: "{n} days", "{n} 天";
    columns: "Columns", "列";
    columns_caption: "Columns in their order", "按顺序排列的列";
    column: "Column", "列名";
    data_type: "Type", "数据类型";
    may_be_null: "May be NULL", "允许为 NULL";
    yes: "yes", "是";
    no: "no", "否";
    partition_column: "partition column", "分区列";
    partitions: "Partitions", "分区";
    partitions_caption: "Partitions by value", "按值排列的分区";
    partitions_none: "The table has no partition yet.", "这个表还没有分区。";
    partition: "Partition", "分区";
    latest_first: "Latest first", "从最新的开始";
    earliest_first: "Earliest first", "从最早的开始";
    preview: "Preview", "预览";
    preview_caption: "The first {n} rows", "前 {n} 行";
    preview_of: "The first {n} rows of partition {partition}", "分区 {partition} 的前 {n} 行";
    preview_none: "There are no rows.", "没有数据。";
    preview_failed: "The rows cannot be shown: {why}", "无法显示数据：{why}";
    view_text: "Text of the view", "视图的定义";
    query_it: "Query it", "查询这个表";

    // Jobs.
    newest_jobs: "Newest jobs", "最近的作业";
    jobs_caption: "Jobs, newest first", "作业，最新的在前";
    jobs_none: "No job fits.", "没有符合条件的作业。";
    jobs_not_yet: "No job has run here yet.", "这里还没有运行过作业。";
    all_jobs: "All jobs", "全部作业";
    job: "Job", "作业";
    state: "State", "状态";
    submitter: "Submitted by", "提交者";
    submitted: "Submitted", "提交时间";
    took: "Took", "耗时";
    statement: "SQL", "SQL 语句";
    any: "any", "不限";
    going_on: "waiting or running", "排队或运行中";
    ended: "ended", "已结束";
    from: "From", "起始时间";
    to: "Until", "截止时间";
    clock: "Times are those of {zone}.", "时间以 {zone} 为准。";
    logview: "Logview: stages, times, plan", "Logview：阶段、耗时、执行计划";
    stop: "Stop", "停止";
    edit: "Edit and run again", "编辑后再次运行";
    refresh_about: "This page looks again every few seconds.", "本页面每隔几秒自动刷新。";
    result: "Result", "结果";
    result_caption: "Rows {from} to {to} of {total}", "第 {from} 到 {to} 行，共 {total} 行";
    result_none: "The result has no rows.", "结果没有数据行。";
    result_columns: "The result has {total} columns; the first {n} are shown, files hold all.",
        "结果共 {total} 列，此处显示前 {n} 列，下载的文件包含全部列。";
    more_rows: "Next rows", "后面的行";
    download_csv: "Download as CSV", "下载 CSV";
    download_parquet: "Download as Parquet", "下载 Parquet";
    done_without_output: "It is done and has nothing to show.", "已完成，没有输出。";
    line_column: "Line {line}, column {column}", "第 {line} 行，第 {column} 列";
    error: "Error", "错误";

    // The workbench.
    editor: "SQL text", "SQL 文本";
    editor_about: "Several statements are separated by semicolons. Ctrl+Enter runs the text, or what is selected of it. Ctrl+Space completes; after that, Tab takes a proposal and Escape leaves.",
        "多条语句用分号隔开。Ctrl+Enter 运行全部文本或选中的部分；Ctrl+空格 补全，Tab 采用，Esc 关闭。";
    run: "Run", "运行";
    history: "Your last statements here", "你在本项目最近的语句";
    history_caption: "Your last statements, newest first", "你最近的语句，最新的在前";
    history_none: "You have not run anything in this project yet.", "你还没有在本项目运行过语句。";
    use_it: "Use", "使用";
    proposals: "Proposals", "补全候选";
    sending: "Sending", "正在提交";
    lost: "The server does not answer: {why}", "服务器没有响应：{why}";
    signed_out: "The session has ended. Sign in again in another tab, then run it again; the text stays here.",
        "登录已失效。请在另一个标签页重新登录后再运行，文本会保留在这里。";
    more: "Show more rows", "显示更多行";

    // Loading a CSV file.
    load_about: "Into a new table, or behind the rows of one that is there. An empty field is NULL. The file is text in UTF-8, at most {size}; larger ones go through the tunnel, for example with write_table of PyODPS.",
        "写入新表，或追加到已有的表。空字段视为 NULL。文件须为 UTF-8 文本，最大 {size}；更大的文件请使用 Tunnel 上传，例如 PyODPS 的 write_table。";
    file: "File", "文件";
    into_table: "Table", "表名";
    into_about: "A new name makes a table with the columns of the file; types are guessed from all values.",
        "如果表不存在，会按文件的列创建新表，并根据全部数据推断类型。";
    has_header: "The first line has the names of the columns", "第一行是列名";
    delimiter: "Fields are separated by a", "字段分隔符";
    comma: "comma", "逗号";
    semicolon: "semicolon", "分号";
    tab: "tab", "制表符";
    into_partition: "Partition", "分区";
    into_partition_about: "For a partitioned table, for example ds=20240101.", "仅分区表需要填写，例如 ds=20240101。";
    load_do: "Load", "上传";
    loaded: "{n} rows were added to table {table}.", "已向表 {table} 写入 {n} 行。";
    open_table: "Open table {table}", "打开表 {table}";
    load_more: "Load another file", "上传另一个文件";
    created_table: "The table was created with the columns below.", "已按下面的列创建新表。";

    // Access keys.
    keys_caption: "Your access keys", "你的访问密钥";
    key_works: "works", "可用";
    key_disabled: "disabled", "已禁用";
    key_until: "until {t}", "有效期至 {t}";
    key_current: "signed in with it", "当前登录使用";
    expires: "Ends", "到期时间";
    never: "never", "永不过期";
    enable: "Enable", "启用";
    disable: "Disable", "禁用";
    delete: "Delete", "删除";
    enable_what: "Enable key {key}", "启用密钥 {key}";
    disable_what: "Disable key {key}", "禁用密钥 {key}";
    delete_what: "Delete key {key} for ever", "永久删除密钥 {key}";
    delete_ask: "Delete key {key} for ever? Programs that use it stop working at once.",
        "要永久删除密钥 {key} 吗？使用它的程序会立即失效。";
    really_delete: "Delete it", "确认删除";
    keep_it: "Keep it", "保留";
    create_key: "Create a key", "创建密钥";
    key_life: "How long it works", "有效期";
    key_forever: "until it is deleted", "直到删除";
    key_hour: "one hour (temporary)", "一小时（临时）";
    key_day: "one day (temporary)", "一天（临时）";
    key_month: "thirty days (temporary)", "三十天（临时）";
    new_key: "The new key", "新密钥";
    new_key_about: "Keep the secret now: it cannot be shown again.", "请立即保存密钥内容，之后无法再次查看。";
    from_python: "From Python (pip install pyodps):", "在 Python 中使用（pip install pyodps）：";
    back_to_keys: "I have kept it", "我已保存";

    // The table store.
    table_store: "Table store", "表格存储";
    ots_trail: "Where this page is", "当前位置";
    ots_instance: "Instance", "实例";
    ots_instances_caption: "Instances of the table store that you look after", "你管理的表格存储实例";
    ots_none: "There is no instance yet. Create one below.", "还没有实例，可以在下方创建。";
    ots_tables: "Tables", "表数";
    ots_read_units: "Read units", "已用读 CU";
    ots_write_units: "Write units", "已用写 CU";
    ots_create: "Create an instance", "创建实例";
    ots_name_about: "3 to 16 letters, digits and hyphens, beginning with a letter and not ending in a hyphen; case does not count.",
        "3 到 16 个字母、数字或连字符，以字母开头，不以连字符结尾，不区分大小写。";
    ots_elsewhere: "The table store is not open in this process", "表格存储未在本进程中打开";
    ots_elsewhere_about: "Of several processes on one data directory, one has the rows open. Ask that one, or load this page again in a moment: when it ends, this process takes them over.",
        "多个进程共用数据目录时，只有一个打开表格存储的数据。请访问那个进程，或稍后刷新本页：它结束后由本进程接管。";
    ots_tables_caption: "Tables, each followed by its indexes", "表，其后是它的索引";
    ots_tables_none: "The instance has no tables. Clients of Tablestore make them with CreateTable.",
        "这个实例还没有表。表由 Tablestore 客户端通过 CreateTable 创建。";
    ots_delete: "Delete the instance", "删除实例";
    ots_delete_ask: "Delete instance {name} for ever? Only one without tables is deleted.",
        "要永久删除实例 {name} 吗？有表的实例不会被删除。";
    ots_index: "Index", "索引";
    ots_index_of: "Index of", "所属的表";
    ots_building: "is being filled", "正在构建";
    ots_ready: "ready", "可用";
    ots_key: "Primary key", "主键";
    ots_auto: "filled in by the server", "自增列";
    ots_versions: "Versions kept", "最大版本数";
    ots_ttl: "Time to live", "数据生命周期";
    ots_for_ever: "for ever", "永久";
    ots_seconds: "{n} seconds", "{n} 秒";
    ots_deviation: "Given versions lie from now within", "指定版本号的最大偏差";
    ots_allow_update: "Rows may be updated", "允许更新";
    ots_transactions: "Local transactions", "局部事务";
    ots_reserved: "Reserved units: read, write", "预留 CU（读、写）";
    ots_stream: "Stream", "数据流（Stream）";
    ots_stream_kept: "{id}, kept for {n} hours", "{id}，保留 {n} 小时";
    ots_indexes: "Indexes", "索引";
    ots_indexes_caption: "Secondary indexes", "二级索引";
    ots_indexes_none: "The table has no index.", "这个表没有索引。";
    ots_local: "local", "本地";
    ots_global: "global", "全局";
    ots_index_key: "Key, before the table's own", "索引键（其后是表的主键）";
    ots_index_columns: "Further columns", "其他列";
    ots_columns_caption: "Columns of the key, then those that the table defines", "主键列，其后是预定义列";
    ots_browse: "Browse the rows", "浏览数据行";
    ots_rows: "Rows", "数据行";
    ots_begin: "Begin with the key", "起始主键";
    ots_begin_about: "Its first columns are enough: those left empty stand for the beginning, backward for the end. Bytes are hexadecimal.",
        "可以只填前几列：留空表示从头开始，逆序时表示从末尾开始。二进制列填写十六进制。";
    ots_direction: "Direction", "方向";
    ots_forward: "forward", "正序";
    ots_backward: "backward", "逆序";
    ots_columns: "Columns to show", "显示的列";
    ots_columns_about: "Names separated by commas; empty for all. Names with a comma as a list in JSON.",
        "列名用逗号分隔，留空表示全部。含逗号的列名请写成 JSON 列表。";
    ots_show: "Show", "查看";
    ots_one_row: "Open the row with this key", "打开这个主键的行";
    ots_costs: "Read units that this page used: {n}. The console reads as any client does.",
        "本页消耗的读 CU：{n}。控制台的读取与其他客户端一样计量。";
    ots_rows_forward: "Rows in the order of their keys", "按主键正序排列的数据行";
    ots_rows_backward: "Rows in the opposite order of their keys", "按主键逆序排列的数据行";
    ots_rows_none: "There are no rows here.", "这里没有数据行。";
    ots_turn_backward: "Backward from the first of these", "从本页第一行起逆序";
    ots_turn_forward: "Forward from the first of these", "从本页第一行起正序";
    ots_from_end: "From the end", "从末尾开始";
    ots_from_begin: "From the beginning", "从头开始";
    ots_more_columns: "Columns that are not shown: {n}. Choose columns, or open a row.",
        "未显示的列：{n} 个。请选择要显示的列，或打开某一行。";
    ots_more_cells: "Cells that are not shown: {n}", "未显示的单元格：{n} 个";
    ots_binary: "binary, {size}", "二进制，{size}";
    ots_binary_cut: "binary, {size}, cut", "二进制，共 {size}，已截断";
    ots_cut: "{size}, cut", "共 {size}，已截断";
    ots_empty: "empty", "空";
    ots_turn_forward_key: "Rows from this key on", "从这个主键起的数据行";
    ots_whole_about: "All columns of the key. Bytes are hexadecimal.", "请填写全部主键列，二进制列填写十六进制。";
    ots_row: "Row", "数据行";
    ots_row_caption: "Cells by column, the newest version first", "按列排列的单元格，新版本在前";
    ots_row_none: "There is no row with this key.", "没有这个主键的行。";
    ots_row_empty: "The row has no cells.", "这一行没有单元格。";
    ots_version: "Version", "版本号";
    ots_version_time: "Its time (UTC)", "对应时间（UTC）";
    ots_value: "Value", "值";

    // Refusals.
    refused_401: "Not signed in", "没有登录";
    refused_403: "Not allowed", "没有权限";
    refused_404: "Not found", "没有找到";
    refused_4xx: "That is not possible", "无法完成";
    refused_429: "Too much at once", "请求过于频繁";
    refused_5xx: "The server failed", "服务器出错";
    request_id: "Request {id}", "请求编号 {id}";
    home: "To the projects", "返回项目列表";
    what_it_means: "What the code {code} means", "错误码 {code} 的含义";
}

use feitian_api::Call;
use feitian_base::Result;

use crate::lang::Lang;

/// The texts in the language of a request.
pub(super) fn of(call: &Call) -> Result<&'static Words> {
    Lang::of(call).map(words)
}

/// The texts in a language.
pub(super) fn words(lang: Lang) -> &'static Words {
    match lang {
        Lang::En => &EN,
        Lang::Zh => &ZH,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<&str> {
        let mut found: Vec<&str> = text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn both_languages_have_every_text_with_the_same_values() {
        let chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for ((key, en), (_, zh)) in EN.all().into_iter().zip(ZH.all()) {
            assert_eq!(values(en), values(zh), "{key}");
            // An access id has its product's name in both.
            assert!((chinese(zh) || key == "access_id") && !chinese(en), "{key}: {en} / {zh}");
        }
    }
}
