//! Every text of the pages, in English and in Chinese, beside each other.

/// Declares [`Words`] and its two tables. A text that lacks a language does not compile.
macro_rules! words {
    ($($key:ident: $en:literal, $zh:literal;)*) => {
        /// The texts of the pages in one language. `{name}` stands for a value.
        #[derive(Debug)]
        pub(crate) struct Words {
            $(pub(crate) $key: &'static str,)*
        }

        /// English.
        pub(crate) static EN: Words = Words { $($key: $en,)* };

        /// Chinese, simplified.
        pub(crate) static ZH: Words = Words { $($key: $zh,)* };

        #[cfg(test)]
        impl Words {
            /// Every key with its text.
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($key), self.$key),)*]
            }
        }
    };
}
pub(crate) use words;

words! {
    // The frame of every page.
    html_lang: "en", "zh-CN";
    skip: "Skip to content", "跳到正文";
    languages: "Language", "语言";
    other_language: "中文", "English";
    brand: "feitian Logview", "飞天 Logview";

    comma: ", ", "，";
    colon: ": ", "：";
    full_stop: ". ", "。";

    // States.
    job: "Job", "作业";
    waiting: "Waiting", "排队中";
    running: "Running", "运行中";
    stopping: "Stopping", "正在停止";
    succeeded: "Succeeded", "成功";
    failed: "Failed", "失败";
    stopped: "Stopped", "已停止";
    done: "Done", "完成";
    not_started: "Not started", "未开始";
    place: "place {n} in the queue", "排在第 {n} 位";
    why_project: "Project {project} runs {running} jobs at once and may run {limit}. This job starts when one of them has ended.",
        "项目 {project} 正在同时运行 {running} 个作业，上限为 {limit} 个。其中一个结束后，本作业才会开始。";
    why_server: "This server runs {running} jobs at once and may run {limit}. This job starts when one of them has ended.",
        "本服务器正在同时运行 {running} 个作业，上限为 {limit} 个。其中一个结束后，本作业才会开始。";
    why_next: "No limit holds it back: it starts in a moment.", "没有达到任何上限，马上就会开始。";
    why_others: "No limit is reached, but other jobs go first.", "没有达到任何上限，但有其他作业排在前面。";
    in_time: "in {t}", "用时 {t}";
    after_time: "after {t}", "运行了 {t}";
    with_rows: "rows: {n}", "共 {n} 行";
    stages_done: "{n} of {total} stages done", "已完成 {n} 个阶段，共 {total} 个";
    stop_asked: "It was asked to stop.", "已请求停止。";

    // Facts.
    facts: "Facts", "概况";
    project: "Project", "项目";
    owner: "Owner", "提交者";
    task: "Task", "任务";
    priority: "Priority", "优先级";
    priority_of: "{n} (0 goes first, 9 last)", "{n}（0 最先，9 最后）";
    submitted: "Submitted", "提交时间";
    started: "Started", "开始时间";
    ended: "Ended", "结束时间";
    waited: "Waited", "排队";
    ran: "Ran", "运行";
    so_far: "{t} so far", "目前 {t}";
    attempt: "Attempt", "第几次运行";
    attempt_of: "{n}: an earlier one was cut off, and the job was queued again",
        "第 {n} 次：前一次中断后，作业重新排队";
    time_zone: "Time zone", "时区";

    // The error.
    error: "Error", "错误";
    error_place: "At line {line}, column {column}", "位置：第 {line} 行，第 {column} 列";
    error_to_place: "show it in the SQL", "在 SQL 中查看";
    error_means: "What it means", "含义";
    error_more: "Causes and what to do about {code}", "{code} 的原因和处理办法";
    error_here: "The error is here", "错误在此处";

    // The SQL.
    sql: "SQL", "SQL";
    sql_cut: "The text has {n} bytes; a part of it is shown.", "全文共 {n} 字节，此处只显示一部分。";
    table_of_task: "Table", "表";

    // Stages.
    stages: "Stages", "阶段";
    stages_none: "No stages are kept for this job.", "没有保存这个作业的阶段信息。";
    stages_not_yet: "Stages appear when the job has started.", "作业开始后会显示各阶段。";
    graph: "Graph", "阶段图";
    graph_caption: "Which stage reads from which. The table of stages holds the same.",
        "箭头从上游阶段指向读取它的阶段。下面的阶段表包含同样的信息。";
    graph_cut: "{n} more stages are only in the table.", "另有 {n} 个阶段只列在表中。";
    timeline: "Timeline", "时间线";
    timeline_caption: "When each stage ran, counted from the submission. The table of stages holds the same.",
        "各阶段运行的时间，从提交时算起。下面的阶段表包含同样的信息。";
    stages_caption: "Stages in the order of the plan. Skew: rows of the fullest worker over the mean of all.",
        "按计划顺序排列的阶段。倾斜：数据最多的并行实例的行数与平均值之比。";
    insight: "The largest part of the CPU time went into {stage} ({n}%), and there into {operator} ({m}%).",
        "CPU 时间用得最多的阶段是 {stage}（{n}%），其中算子 {operator} 占 {m}%。";
    stage: "Stage", "阶段";
    state: "State", "状态";
    reads_from: "Reads from", "读取自";
    statement: "Statement", "语句";
    workers: "Workers", "并行度";
    rows: "Rows", "行数";
    rows_in: "Rows in", "输入行数";
    rows_out: "Rows out", "输出行数";
    bytes: "Bytes", "字节";
    bytes_read: "Bytes read", "读取字节";
    began: "Began after", "开始于提交后";
    time: "Time", "耗时";
    cpu: "CPU time", "CPU 时间";
    spilled: "Spilled", "落盘";
    balance: "Skew", "倾斜";
    share: "Share of CPU", "CPU 占比";
    even: "even", "均匀";
    slowest: "slowest, {n}% of CPU", "最慢，占 CPU {n}%";
    uneven: "uneven", "倾斜";
    spills: "used the disk", "用了磁盘";
    stage_table: "Table of stages", "阶段表";
    operators: "Operators", "算子";
    operators_of: "Operators of {stage}", "{stage} 的算子";
    operators_summary: "{stage}, operators: {n}", "{stage}：{n} 个算子";
    operator: "Operator", "算子";

    // The result.
    result: "Result", "结果";
    result_first: "The first {n} of {total} rows", "前 {n} 行，共 {total} 行";
    result_all: "All rows: {total}", "全部 {total} 行";
    result_none: "The result has no rows.", "结果没有数据行。";
    result_text_cut: "The text is longer; its beginning is shown.", "文本较长，此处只显示开头。";
    result_columns_cut: "The result has {total} columns; the first {n} are shown.", "结果共 {total} 列，此处显示前 {n} 列。";
    result_unreadable: "The result cannot be read: {why}", "无法读取结果：{why}";

    // The comparison.
    comparison: "The run before", "与上次运行比较";
    comparison_caption: "This run beside {id} of {time}, the run of the same SQL before it",
        "本次运行与上一次运行同一 SQL 的作业 {id}（{time}）的比较";
    measure: "Measure", "指标";
    this_run: "This run", "本次";
    run_before: "Before", "上次";
    difference: "Difference", "差别";
    plan: "Plan", "执行计划";
    unknown: "unknown", "未知";
    cmp_about_as_long: "about as long", "耗时相近";
    cmp_slower: "{n} times as long", "耗时是上次的 {n} 倍";
    cmp_faster: "{n} times as fast", "速度是上次的 {n} 倍";
    cmp_same: "the same", "相同";
    cmp_more: "{n} more", "多 {n}";
    cmp_fewer: "{n} fewer", "少 {n}";
    cmp_same_plan: "the same plan", "计划相同";
    cmp_other_plan: "another plan", "计划不同";
    cmp_not_known: "not known", "无法比较";
    cmp_not_yet: "not yet known", "尚不能比较";
    cmp_one_failed: "not compared: a run that did not succeed says nothing about time", "不作比较：没有成功的运行不能说明耗时";

    // Settings and the end of the page.
    settings: "Settings", "设置";
    settings_caption: "Settings that this job was submitted with", "提交这个作业时使用的设置";
    name: "Name", "名称";
    value: "Value", "值";
    by_hand: "The same by hand", "用命令行查看";
    by_hand_more: "The profile as JSON has every number of this page.", "JSON 格式的概况包含本页的全部数字。";
    download: "Download the profile (JSON)", "下载概况（JSON）";

    // Pages of error codes.
    codes: "Error codes", "错误码";
    codes_about: "What each error code means and what to do about it.", "每个错误码的含义和处理办法。";
    codes_all: "All error codes", "全部错误码";

    // Units.
    unit_us: "{n} µs", "{n} 微秒";
    unit_ms: "{n} ms", "{n} 毫秒";
    unit_s: "{n} s", "{n} 秒";
    unit_min: "{m} min {s} s", "{m} 分 {s} 秒";
    unit_h: "{h} h {m} min", "{h} 小时 {m} 分";
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
        for ((key, en), (_, zh)) in EN.all().into_iter().zip(ZH.all()) {
            assert!(!en.trim().is_empty() && !zh.trim().is_empty(), "{key}");
            assert_eq!(values(en), values(zh), "{key}");
        }
    }

    #[test]
    fn chinese_texts_are_chinese_and_english_ones_are_not() {
        let chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for ((key, en), (_, zh)) in EN.all().into_iter().zip(ZH.all()) {
            // Names that are the same in both, and the link to the other language, which speaks that language.
            if !matches!(key, "html_lang" | "sql" | "other_language" | "comma" | "colon" | "full_stop") {
                assert!(chinese(zh) && !chinese(en), "{key}: {en} / {zh}");
            }
        }
    }
}
