//! Whole pages made from jobs that are written by hand.
#![allow(clippy::unwrap_used)]

use chrono_tz::Asia::Shanghai;
use feitian_api::warehouse::QueueLoad;
use feitian_base::codes;
use feitian_meta::rows::{Instance, InstanceState};
use serde_json::{Value, json};

use crate::job::{Around, Head, Job, Output};
use crate::lang::Lang;
use crate::links::Links;
use crate::profile::Profile;
use crate::view::Frame;

/// 2024-01-01 00:00 UTC.
const NEW_YEAR: i64 = 1_704_067_200_000;
/// A tag, quotes that would end an attribute, a mark that turns the direction, and a control character.
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{1b}";
/// The same as text: escaped for HTML (OWASP's five characters), the invisible ones by their numbers.
const HARMLESS: &str = "&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;\\u{202e}\\u{1b}";

fn frame(lang: Lang) -> Frame {
    Frame { w: lang.words(), lang, links: Links::for_tests() }
}

fn instance(state: InstanceState) -> Instance {
    Instance {
        id: "20240101000000000gabc".into(),
        project: "p".into(),
        owner: "ALIYUN$demo".into(),
        guid: String::new(),
        priority: 9,
        source: String::new(),
        task_name: "AnonymousSQLTask".into(),
        task_type: "SQL".into(),
        query: "select * from t".into(),
        settings: r#"{"odps.sql.timezone":"Asia/Shanghai"}"#.into(),
        state,
        node: "n".into(),
        attempt: 1,
        step: 0,
        stop_requested: false,
        submitted_ms: NEW_YEAR,
        started_ms: (state != InstanceState::Waiting).then_some(NEW_YEAR + 500),
        ended_ms: state.is_terminal().then_some(NEW_YEAR + 2500),
        is_select: false,
        result_columns: None,
        result_inline: None,
        result_path: None,
        result_rows: 0,
        error: None,
        summary: "{}".into(),
    }
}

/// A diamond: two stages read what one has read, the last joins them.
fn diamond() -> Value {
    let stage = |id: &str, inputs: &[&str], from: i64, to: i64, skew: f64, cpu: u64| {
        json!({"id": id, "step": 0, "inputs": inputs, "state": "done", "started_ms": NEW_YEAR + from,
            "ended_ms": NEW_YEAR + to, "workers": 2, "rows_in": 1000, "rows_out": 10, "bytes_in": 2048, "cpu_us": cpu,
            "spilled_bytes": 0, "skew": skew, "operators": [
                {"id": 0, "parent": null, "name": "AggregateExec", "text": "AggregateExec: mode=Final", "rows": 10,
                 "bytes": 80, "cpu_us": cpu, "spilled_bytes": 0, "partition_rows": [9, 1], "skew": skew},
                {"id": 1, "parent": 0, "name": "ScanExec", "text": "", "rows": 1000, "bytes": 8000, "cpu_us": 1,
                 "spilled_bytes": 4096, "partition_rows": [], "skew": 1.0}]})
    };
    json!({"stages": [
        stage("M1_job_0", &[], 500, 600, 1.0, 10), stage("R2_1_job_0", &["M1_job_0"], 600, 700, 1.0, 20),
        stage("R3_1_job_0", &["M1_job_0"], 600, 2400, 3.0, 900_000),
        stage("J4_2_3_job_0", &["R2_1_job_0", "R3_1_job_0"], 2400, 2500, 1.0, 30),
    ], "plan_hash": "aa", "rows_out": 10})
}

fn job(instance: Instance, profile: &Value) -> Job {
    Job { instance, profile: Profile::read(profile), queue: None, zone: Shanghai, now_ms: NEW_YEAR + 3000 }
}

fn nothing() -> Around {
    Around { output: Output::Nothing, earlier: None }
}

fn page(lang: Lang, job: &Job, around: &Around) -> String {
    frame(lang).page(job, around, "nonce").unwrap()
}

/// Asserts that the page holds these texts in this order.
fn holds(page: &str, texts: &[&str]) {
    let mut rest = page;
    for text in texts {
        let (_, after) =
            rest.split_once(text).unwrap_or_else(|| panic!("{text} is missing or out of order in:\n{page}"));
        rest = after;
    }
}

#[test]
fn whatever_a_user_wrote_is_text() {
    let stages = json!({"stages": [{"id": HOSTILE, "inputs": [HOSTILE], "state": "failed", "started_ms": NEW_YEAR,
        "operators": [{"name": HOSTILE, "text": HOSTILE, "cpu_us": 5}]}]});
    let hostile = Instance {
        id: HOSTILE.into(),
        project: HOSTILE.into(),
        owner: HOSTILE.into(),
        task_name: HOSTILE.into(),
        query: format!("select '{HOSTILE}' -- {HOSTILE}"),
        settings: json!({ HOSTILE: HOSTILE }).to_string(),
        error: Some(format!("ODPS-0130131:[1,8] Table not found - {HOSTILE}")),
        summary: json!({ "plan_hash": HOSTILE }).to_string(),
        ..instance(InstanceState::Failed)
    };
    let rows = Output::Rows {
        columns: vec![Head { name: HOSTILE.into(), is_number: false }],
        rows: vec![vec![Some(HOSTILE.into())], vec![None]],
        total: 2,
        total_columns: 1,
    };
    let text = Output::Text { text: HOSTILE.into(), cut: false };
    for output in [rows, text, Output::Unreadable(HOSTILE.into())] {
        for lang in [Lang::En, Lang::Zh] {
            let around = Around { output: output.clone(), earlier: Some(hostile.clone()) };
            let page = page(lang, &job(hostile.clone(), &stages), &around);
            assert!(!page.contains("<script") && !page.contains('\u{202e}') && !page.contains('\u{1b}'), "{page}");
            assert!(!page.contains("alert(1)</") && !page.contains("\"'"), "{page}");
            // Title, heading, facts, error, SQL twice, graph, timeline, tables, result, comparison, settings, command.
            assert!(page.matches("alert(1)").count() >= 15);
            holds(
                &page,
                &["<h1>", HARMLESS, "<bdi>FAILED:", HARMLESS, "ODPS-0130131", "<svg", "</svg>", "<caption", HARMLESS],
            );
        }
    }
    let waiting = Instance { project: HOSTILE.into(), ..instance(InstanceState::Waiting) };
    let load = QueueLoad { project_running: 4, project_limit: 4, process_running: 4, process_limit: 8 };
    let waiting = Job { queue: Some((2, load)), ..job(waiting, &json!({})) };
    let page = page(Lang::En, &waiting, &nothing());
    assert!(!page.contains("<script>") && page.contains("<script src=\"/console/assets/logview-"), "{page}");
    let events = frame(Lang::En).live(&waiting).unwrap();
    assert!(events.iter().all(|(_, html)| !html.contains("<script") && !html.contains('\u{202e}')));
}

#[test]
fn a_waiting_job_says_where_it_stands_and_why() {
    let load = |project_running, process_running| QueueLoad {
        project_running,
        project_limit: 4,
        process_running,
        process_limit: 8,
    };
    for (place, load, en, zh) in [
        (3, load(4, 5), "Project p runs 4 jobs at once and may run 4.", "项目 p 正在同时运行 4 个作业，上限为 4 个。"),
        (3, load(2, 8), "This server runs 8 jobs at once and may run 8.", "本服务器正在同时运行 8 个作业"),
        (1, load(0, 0), "it starts in a moment", "马上就会开始"),
        (2, load(0, 0), "other jobs go first", "有其他作业排在前面"),
    ] {
        let waiting = || Job { queue: Some((place, load)), ..job(instance(InstanceState::Waiting), &json!({})) };
        let english = page(Lang::En, &waiting(), &nothing());
        holds(&english, &["<html lang=\"en\"", "<strong>Waiting</strong>", &format!("place {place} in the queue"), en]);
        let chinese = page(Lang::Zh, &waiting(), &nothing());
        holds(&chinese, &["<html lang=\"zh-CN\"", "<strong>排队中</strong>", &format!("排在第 {place} 位"), zh]);
        // Without JavaScript the page asks again by itself.
        holds(
            &english,
            &["<noscript><meta http-equiv=\"refresh\"", "data-events=\"/logview/events?p=p&#38;i=i&#38;token=t\""],
        );
    }
}

#[test]
fn a_running_job_counts_its_stages_and_its_state_does_not_tick() {
    let mut stages = diamond();
    stages["stages"][3]["state"] = "running".into();
    stages["stages"][3]["ended_ms"] = Value::Null;
    let running = job(instance(InstanceState::Running), &stages);
    let later = Job { now_ms: running.now_ms + 60_000, ..job(instance(InstanceState::Running), &stages) };
    let frame = frame(Lang::En);
    let (now, then) = (frame.live(&running).unwrap(), frame.live(&later).unwrap());
    holds(&now[0].1, &["<strong>Running</strong>", "max=\"4\" value=\"3\"", "3 of 4 stages done"]);
    // It is read aloud whenever it changes.
    assert_eq!(now[0], then[0]);
    holds(&now[1].1, &["Waited", "500 ms", "Ran", "2.50 s so far"]);
    holds(&then[1].1, &["Ran", "1 min 2 s so far"]);
    let stopping = Instance { stop_requested: true, ..instance(InstanceState::Running) };
    holds(&page(Lang::Zh, &job(stopping, &stages), &nothing()), &["<strong>正在停止</strong>", "已请求停止"]);
}

#[test]
fn the_stages_are_drawn_and_stand_in_tables_with_the_slowest_named() {
    let done = Instance { is_select: true, result_rows: 1234, ..instance(InstanceState::Success) };
    let page = page(Lang::En, &job(done, &diamond()), &nothing());
    holds(&page, &["<strong>Succeeded</strong>", "in 2.00 s", "rows: 1,234"]);
    assert_eq!(page.matches("marker-end").count(), 4, "a diamond has four lines");
    assert_eq!(page.matches("<g class=\"node good\"").count(), 4);
    // R3 ran 1.8 s of the 2 s; its fullest worker had 3 times the mean.
    holds(
        &page,
        &[
            "<title>R3_1_job_0: Done · 1.80 s; Rows: 1,000 → 10;",
            "Bytes read: 2.0 KiB; CPU time: 900 ms · Skew: 3.0×; slowest, 100% of CPU; uneven",
        ],
    );
    holds(
        &page,
        &[
            "<caption id=\"stages-caption\">",
            "R3_1_job_0",
            "M1_job_0",
            "2.0 KiB",
            "600 ms",
            "1.80 s",
            "900 ms",
            "slowest",
        ],
    );
    // 900,000 of 900,060 µs of CPU time, all of them in the operator above.
    holds(&page, &["went into R3_1_job_0 (100%), and there into AggregateExec (100%).", "<h3>Graph</h3>"]);
    assert_eq!(page.matches(">slowest").count(), 3 + 1, "box, stage, unfolded summary and operator: {page}");
    holds(&page, &["<details id=\"operators-3\" open>", "AggregateExec", "slowest", "ScanExec", "used the disk"]);
    assert_eq!(page.matches("<details id=\"operators-").count(), 4);
    assert!(!page.contains("data-events") && !page.contains("<noscript>"), "nothing more will happen");
    // Each table has a caption, each picture words, and headings go down one step at a time.
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
    assert_eq!(
        page.matches("<svg").count(),
        page.matches("<svg class=\"graph\" role=\"img\" aria-labelledby").count() + 1
    );
    let levels: Vec<u32> =
        page.match_indices("<h").filter_map(|(at, _)| page[at + 2..].chars().next()?.to_digit(10)).collect();
    assert_eq!(levels.first(), Some(&1));
    assert!(levels.windows(2).all(|two| two[1] <= two[0] + 1), "{levels:?}");
}

#[test]
fn a_failed_job_shows_what_its_code_means_and_where_in_the_sql() {
    let failed = Instance {
        error: Some("ODPS-0130131:[1,15] Table not found - table p.t cannot be resolved".into()),
        ..instance(InstanceState::Failed)
    };
    let job = job(failed, &json!({}));
    let english = page(Lang::En, &job, &nothing());
    let explained = codes::explain("ODPS-0130131").unwrap();
    holds(
        &english,
        &[
            "<strong>Failed</strong>",
            "after 2.00 s",
            "FAILED: ODPS-0130131:[1,15] Table not found",
            "At line 1, column 15",
            "<a href=\"#place\">",
            explained.en.title,
            "<a href=\"/logview/errors/ODPS-0130131\">",
            "<span class=\"k\">from</span> <mark id=\"place\"",
            ">t</mark>",
            "No stages are kept for this job.",
        ],
    );
    let what_happened = "语句或客户端使用了不存在的表或视图。";
    assert!(explained.zh.text.contains(&format!("## 发生了什么\n\n{what_happened}\n")));
    let chinese = page(Lang::Zh, &job, &nothing());
    holds(
        &chinese,
        &[
            "位置：第 1 行，第 15 列",
            "ODPS-0130131：表不存在。</strong>",
            what_happened,
            "ODPS-0130131 的原因和处理办法",
        ],
    );
    // A code that nobody has written about is shown without a link.
    let unknown = Instance { error: Some("X-1: odd".into()), ..instance(InstanceState::Cancelled) };
    let unknown = page(Lang::En, &Job { instance: unknown, ..job }, &nothing());
    assert!(unknown.contains("FAILED: X-1: odd") && !unknown.contains("What it means"));
}

#[test]
fn a_result_and_the_run_before_are_shown() {
    let done = Instance { is_select: true, result_rows: 30, ..instance(InstanceState::Success) };
    let earlier = Instance {
        id: "earlier".into(),
        submitted_ms: NEW_YEAR - 86_400_000,
        ended_ms: Some(NEW_YEAR + 1500),
        summary: json!({"plan_hash": "bb", "rows_out": 30}).to_string(),
        ..done.clone()
    };
    let rows = vec![vec![Some("1".to_string()), None]; 20];
    let columns = [("a", true), ("b", false)].map(|(name, is_number)| Head { name: name.into(), is_number });
    let output = Output::Rows { columns: columns.into(), rows, total: 30, total_columns: 2 };
    let around = Around { output, earlier: Some(earlier) };
    let page = page(Lang::En, &job(done, &diamond()), &around);
    holds(
        &page,
        &["The first 20 of 30 rows", "<bdi>a</bdi>", "cell number\"><bdi>1</bdi>", "<span class=\"null\">NULL</span>"],
    );
    // The earlier one ran for one second, this one for two; its bytes are not known.
    holds(
        &page,
        &[
            "This run beside earlier of 2023-12-31 08:00:00",
            "2.0 times as long",
            "the same",
            "not known",
            "another plan",
        ],
    );
    holds(
        &page,
        &[
            "odps.sql.timezone",
            "feitian instance show 20240101000000000gabc --project p\n",
            "feitian instance result 20240101000000000gabc --project p --output csv\n",
            "GET /admin/v1/projects/p/instances/20240101000000000gabc</code>",
            "/logview/profile?p=p",
        ],
    );
}

#[test]
fn a_script_names_the_statement_of_each_stage() {
    let stage = |id: &str, step: u64| json!({"id": id, "step": step, "state": "done"});
    let two = json!({"stages": [stage("M1_job_0", 0), stage("M1_job_1", 1)]});
    let page_of = |profile: &Value| page(Lang::En, &job(instance(InstanceState::Success), profile), &nothing());
    assert!(page_of(&two).contains(">Statement</th>"));
    assert!(!page_of(&diamond()).contains(">Statement</th>"));
}

#[test]
fn a_task_that_is_no_sql_is_shown_as_it_is() {
    let merge = Instance { task_type: "Merge".into(), query: "t".into(), ..instance(InstanceState::Success) };
    let page = page(Lang::En, &job(merge, &json!({})), &nothing());
    holds(&page, &["<h2 id=\"sql-heading\">Table</h2>", "data-n=\"1\">t</span>"]);
}

#[test]
fn what_pages_show_is_what_the_admin_api_answers() {
    // A file is loaded by an upload of the tunnel's; and whether one's own key ends by itself is no page.
    let apart = ["app/keys.rs", "app/upload.rs"];
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut asking) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            if [concat!("state", ".warehouse"), concat!("state", ".meta")].iter().any(|part| text.contains(part)) {
                asking.push(path.strip_prefix(&src).unwrap().to_str().unwrap().to_string());
            }
        }
    }
    asking.sort();
    assert_eq!(asking, apart, "ask a function of feitian_api::admin that an operation of /admin/v1 answers from");
}

#[test]
fn every_code_has_a_page_and_the_list_leads_to_it() {
    for lang in [Lang::En, Lang::Zh] {
        let list = frame(lang).codes(codes::all(), "nonce").unwrap();
        for page in codes::all() {
            assert!(list.contains(&format!("href=\"/logview/errors/{}\"", page.code)), "{}", page.code);
            let shown = frame(lang).code(page, "nonce").unwrap();
            let parts = match lang {
                Lang::En => ["What happened", "Likely cause", "What to do"],
                Lang::Zh => ["发生了什么", "可能的原因", "处理办法"],
            };
            let [first, second, third] = parts.map(|part| format!("<h2>{part}</h2>"));
            holds(&shown, &["<h1><span class=\"mono\">", page.code, &first, &second, &third]);
            assert!(!shown.contains("<script") && !shown.contains(".md\""), "{}", page.code);
            let command = format!("feitian explain {}{}<", page.code, if lang == Lang::Zh { " --lang zh" } else { "" });
            assert!(shown.contains(&command), "{}", page.code);
        }
    }
}
