//! Jobs over REST: submission, status, results, documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feitian_api::warehouse::Warehouse as _;
use serde_json::json;

use crate::client::{Client, Reply, between};
use crate::world::World;

/// A job as PyODPS (`odps/models/job.py`) writes it.
fn job(query: &str, guid: &str) -> String {
    let guid = if guid.is_empty() { String::new() } else { format!("<Guid>{guid}</Guid>") };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Instance>\n  <Job>\n    <Priority>9</Priority>{guid}\n    <Tasks>\n\
         <SQL>\n<Name>AnonymousSQLTask</Name>\n<Config>\n<Property>\n<Name>settings</Name>\n\
         <Value>{{\"odps.sql.timezone\": \"UTC\", \"ODD.key\": \"x\"}}</Value>\n</Property>\n\
         <Property>\n<Name>uuid</Name>\n<Value>u-1</Value>\n</Property>\n</Config>\n\
         <Query><![CDATA[{query}]]></Query>\n</SQL>\n    </Tasks>\n    <DAG>\n<RunMode>Sequence</RunMode>\n</DAG>\n  \
         </Job>\n</Instance>"
    )
}

/// Submits and returns the instance id, the text after the last slash of `Location`.
pub async fn submit(client: &Client, query: &str) -> String {
    let reply = client.post("/api/projects/p/instances", job(query, "")).await.ok();
    assert_eq!(reply.status.as_u16(), 201);
    assert!(reply.body.is_empty(), "clients take a body for a result");
    reply.header("location").rsplit('/').next().unwrap().to_string()
}

async fn doc(client: &Client, id: &str, action: &str) -> Reply {
    client.get(&format!("/api/projects/p/instances/{id}?{action}")).await.ok()
}

#[tokio::test]
async fn a_job_is_submitted_with_its_settings_and_shown_as_it_came() {
    let world = World::new().await;
    let client = world.demo();
    let reply = client.post("/api/projects/p/instances?curr_project=p", job("select 1;", "")).await.ok();
    let location = reply.header("location").to_string();
    assert!(location.starts_with("http://feitian.test:7700/api/projects/p/instances/"), "{location}");
    assert_eq!(world.fake.calls(), ["submit ALIYUN$demo select 1;"]);
    let id = location.rsplit('/').next().unwrap();
    let source = doc(&client, id, "source").await.text();
    let sent = job("select 1;", "");
    assert_eq!(source, sent[sent.find("<Job>").unwrap()..sent.find("</Instance>").unwrap()].trim_end());
}

// A property that PyODPS has for tables to be archived (odps/models/tasks/merge.py), and one that nobody knows.
#[tokio::test]
async fn properties_of_tasks_that_nobody_acts_on_are_refused_by_name() {
    let world = World::new().await;
    let client = world.demo();
    let with = |name: &str, value: &str| {
        let property = format!("<Property><Name>{name}</Name><Value>{value}</Value></Property></Config>");
        job("select 1;", "").replace("</Config>", &property)
    };
    for name in ["archiveSettings", "mystery"] {
        let reply = client.post("/api/projects/p/instances", with(name, "{}")).await.refused(400, "InvalidParameter");
        assert!(reply.text().contains(name), "{}", reply.text());
    }
    assert_eq!(world.fake.calls(), [""; 0]);
    client.post("/api/projects/p/instances", with("biz_id", "x")).await.ok();
    let reply = client.post("/api/projects/p/instances", with("aliases", r#"{"a": "b"}"#)).await.ok();
    let id = reply.header("location").rsplit('/').next().unwrap();
    let settings = world.fake.instance("p", id).await.unwrap().settings;
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["feitian.aliases"], json!(r#"{"a":"b"}"#));
}

#[tokio::test]
async fn a_submission_that_is_sent_again_is_the_same_job() {
    let world = World::new().await;
    let client = world.demo();
    let first = client.post("/api/projects/p/instances", job("select 1;", "g-1")).await.ok();
    let again = client.post("/api/projects/p/instances", job("select 1;", "g-1")).await.ok();
    assert_eq!(first.header("location"), again.header("location"));
}

#[tokio::test]
async fn status_documents_follow_the_job() {
    let world = World::new().await;
    let client = world.demo();
    let id = submit(&client, "select 1;").await;
    let reply = client.get(&format!("/api/projects/p/instances/{id}")).await.ok();
    assert!(reply.text().contains("<Status>Terminated</Status>"));
    assert_eq!(reply.header("x-odps-owner"), "ALIYUN$demo");
    for name in ["x-odps-start-time", "x-odps-end-time"] {
        chrono::DateTime::parse_from_rfc2822(&reply.header(name).replace("GMT", "+0000")).unwrap();
    }
    let tasks = doc(&client, &id, "taskstatus").await.text();
    assert!(tasks.contains("<Task Type=\"SQL\"><Name>AnonymousSQLTask</Name>"), "{tasks}");
    assert!(tasks.contains("<Status>Success</Status>"));
    let waiting = submit(&client, "queue").await;
    let tasks = doc(&client, &waiting, "taskstatus").await.text();
    assert!(tasks.contains("<Status>Running</Status>") && tasks.contains("<Status>Waiting</Status>"), "{tasks}");
    client.get("/api/projects/p/instances/nope").await.refused(404, "NoSuchObject");
    client.get(&format!("/api/projects/p/instances/{id}?result&taskname=other")).await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn results_come_as_csv_text_or_error() {
    let world = World::new().await;
    let client = world.demo();
    let result = |text: &str| STANDARD.decode(between(text, "<![CDATA[", "]]>")).unwrap();
    let select = submit(&client, "select 1;").await;
    let text = doc(&client, &select, "result").await.text();
    assert!(text.contains("Format=\"csv\""));
    // The dialect: PyODPS odps/readers.py, CsvRecordReader; rows ("a", 1), (NULL, -5).
    assert_eq!(String::from_utf8(result(&text)).unwrap(), "\"s\",\"n\"\n\"a\",1\n\\N,-5\n");
    let statement = submit(&client, "desc t;").await;
    let text = doc(&client, &statement, "result").await.text();
    assert!(text.contains("Format=\"text\""));
    assert_eq!(result(&text), b"hello\x01\n");
    let failed = submit(&client, "fail").await;
    let text = doc(&client, &failed, "result").await.text();
    assert_eq!(
        String::from_utf8(result(&text)).unwrap(),
        "FAILED: ODPS-0130131:[1,15] Table not found - table p.<t> cannot be resolved"
    );
    assert!(text.contains("<Status>Failed</Status>"));
    let running = submit(&client, "sleep").await;
    assert!(doc(&client, &running, "result").await.text().contains("Format=\"text\"/>"));
}

// Parameters: `get_worker_log` in odps/models/instance.py of PyODPS.
#[tokio::test]
async fn user_code_has_a_log() {
    let world = World::new().await;
    let client = world.demo();
    let id = submit(&client, "select 1;").await;
    let detail = doc(&client, &id, "detail&taskname=AnonymousSQLTask").await.json();
    let log_id = detail["mapReduce"]["jobs"][0]["tasks"][0]["instances"][0]["logId"].as_str().unwrap().to_string();
    world.fake.calls();
    for kind in ["", "&logtype=stdout", "&logtype=stderr"] {
        assert_eq!(doc(&client, &id, &format!("log=&id={log_id}{kind}")).await.text(), "first\nlast 飞\n");
    }
    assert!(world.fake.calls().contains(&format!("worker_log {id}")));
    // "last ", three bytes of a character, and the end of the line.
    assert_eq!(doc(&client, &id, &format!("log&id={log_id}&size=9")).await.text(), "last 飞\n");
    let log = |rest: &str| format!("/api/projects/p/instances/{id}?log{rest}");
    client.get(&log("&id=another-M1_job_0-0")).await.refused(404, "NoSuchObject");
    client.get(&log(&format!("&id={log_id}&logtype=jstack"))).await.refused(405, "MethodNotAllowed");
    client.get(&log(&format!("&id={log_id}&logtype=x"))).await.refused(400, "InvalidArgument");
    client.get(&log("")).await.refused(400, "InvalidParameter");
}

#[tokio::test]
async fn progress_summary_and_queue_have_what_clients_read() {
    let world = World::new().await;
    let client = world.demo();
    let id = submit(&client, "select 1;").await;
    let progress = doc(&client, &id, "instanceprogress=AnonymousSQLTask&taskname=AnonymousSQLTask").await.text();
    assert!(progress.contains("<Stage ID=\"M1_job_0\">") && progress.contains("<InputRecords>3</InputRecords>"));
    let summary = doc(&client, &id, "instancesummary&taskname=AnonymousSQLTask").await;
    assert_eq!(summary.header("x-odps-task-finalized"), "true");
    let inner: serde_json::Value =
        serde_json::from_str(summary.json()["Instance"]["JsonSummary"].as_str().unwrap()).unwrap();
    for key in ["CPU", "Memory", "Input"] {
        assert!(inner["Cost"][key].is_number(), "{key}");
    }
    let detail = doc(&client, &id, "detail&taskname=AnonymousSQLTask").await.json();
    let tasks = &detail["mapReduce"]["jobs"][0]["tasks"];
    assert_eq!(tasks[0]["name"], "M1_job_0");
    // Keys: odps/models/worker.py of PyODPS. The second stage has two workers, which give out 2 and 0 rows.
    let workers = tasks[1]["instances"].as_array().unwrap();
    assert_eq!(workers.iter().map(|w| w["output_records"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 0]);
    assert_eq!((&workers[1]["id"], &workers[1]["status"]), (&json!("R2_1_job_0#1"), &json!("Terminated")));
    assert_eq!(workers[1]["startTime"], 1_704_067_200);
    // PyODPS (odps/models/instance.py) hands the caller the whole document of `get_task_detail`, and asks `?detail` only
    // when that is empty; workers are looked for in either, under the same keys.
    assert_eq!(doc(&client, &id, "instancedetail&taskname=AnonymousSQLTask").await.json(), detail);
    assert_eq!(detail["Instance"], json!(id));
    // `get_task_quota` hands the whole document on, too; the name in it is one that the list of quotas has.
    let quota = doc(&client, &id, "instancequota&taskname=AnonymousSQLTask").await.json();
    let quotas = client.get("/api/quotas").await.ok().text();
    assert!(quotas.contains(&format!("<Name>{}</Name>", quota["quota"].as_str().unwrap())), "{quotas}");
    for action in ["instancedetail", "instancequota"] {
        let other = client.get(&format!("/api/projects/p/instances/{id}?{action}&taskname=other")).await;
        other.refused(404, "NoSuchObject");
    }
    assert!(doc(&client, &id, "info&taskname=AnonymousSQLTask&key=warnings").await.json()["warnings"].is_object());
    let info = "<Instance><Key>k</Key><Value>v</Value></Instance>";
    let put = client.put(&format!("/api/projects/p/instances/{id}?info&taskname=AnonymousSQLTask"), info).await.ok();
    assert!(put.body.is_empty());
    assert_eq!(doc(&client, &id, "cached").await.json(), json!({}));
    let waiting = submit(&client, "queue").await;
    let entry = doc(&client, &waiting, "cached").await.json();
    assert_eq!((&entry["instanceId"], &entry["status"]), (&json!(waiting), &json!("Running")));
    assert!(entry["subStatusHistory"][0]["description"].as_str().unwrap().contains("place 3"));
    let list = client.get("/api/projects/p/cachedinstances").await.ok().text();
    let content: serde_json::Value = serde_json::from_str(between(&list, "<![CDATA[", "]]>")).unwrap();
    assert!(content.as_array().unwrap().iter().any(|e| e["instanceId"] == json!(waiting)));
}

#[tokio::test]
async fn instances_are_listed_in_pages_and_filters_are_checked() {
    let world = World::new().await;
    let client = world.demo();
    for _ in 0..3 {
        submit(&client, "select 1;").await;
    }
    let page = client.get("/api/projects/p/instances?maxitems=2&status=Terminated&daterange=1:").await.ok().text();
    assert_eq!(page.matches("<Instance>").count(), 2);
    assert!(!between(&page, "<Marker>", "</Marker>").is_empty());
    for (query, status) in
        [("status=Done", 400), ("daterange=x", 400), ("jobname=j", 405), ("quotaIndex=1", 405), ("maxitems=x", 400)]
    {
        assert_eq!(client.get(&format!("/api/projects/p/instances?{query}")).await.status.as_u16(), status, "{query}");
    }
}

#[tokio::test]
async fn a_running_job_is_stopped_once() {
    let world = World::new().await;
    let client = world.demo();
    let id = submit(&client, "sleep").await;
    let stop = "<Instance><Status>Terminated</Status></Instance>";
    client.put(&format!("/api/projects/p/instances/{id}"), stop).await.ok();
    client.put(&format!("/api/projects/p/instances/{id}"), stop).await.refused(409, "InvalidStateSetting");
    let odd = "<Instance><Status>Suspended</Status></Instance>";
    client.put(&format!("/api/projects/p/instances/{id}"), odd).await.refused(400, "InvalidParameter");
}

#[tokio::test]
async fn a_job_that_is_not_well_formed_is_refused_and_not_run() {
    let world = World::new().await;
    let client = world.demo();
    let task = "<SQL><Name>a</Name><Query>select 1;</Query></SQL>";
    let two = format!("<Instance><Job><Tasks>{task}{task}</Tasks></Job></Instance>");
    let cupid = "<Instance><Job><Tasks><CUPID><Name>a</Name></CUPID></Tasks></Job></Instance>".to_string();
    let urgent = format!("<Instance><Job><Priority>-1</Priority><Tasks>{task}</Tasks></Job></Instance>");
    for body in ["".to_string(), "<Instance>".into(), "<Instance/>".into(), "\u{1}".into(), two, cupid, urgent] {
        client.post("/api/projects/p/instances", body.clone()).await.refused(400, "InvalidParameter");
    }
    // MaxCompute documents 2 MB as the longest statement.
    let long = job(&"x".repeat((2 << 20) + 1), "");
    client.post("/api/projects/p/instances", long).await.refused(400, "InvalidArgument");
    let huge = vec![b' '; (16 << 20) + 1];
    client.post("/api/projects/p/instances", huge).await.refused(413, "RequestEntityTooLarge");
    assert_eq!(world.fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn the_status_of_a_job_that_ends_meanwhile_is_told_at_once() {
    let world = World::new().await;
    let client = world.demo();
    let id = submit(&client, "sleep").await;
    let target = format!("/api/projects/p/instances/{id}?instancestatus");
    let end = async {
        world.fake.waiting.notified().await;
        world.fake.end(&id);
    };
    let started = std::time::Instant::now();
    let (reply, ()) = tokio::join!(client.get(&target), end);
    assert!(reply.ok().text().contains("Terminated"));
    // The long poll would last five seconds.
    assert!(started.elapsed().as_secs() < 4);
}

// The documents are those of odps/models/session/v1.py of PyODPS.
#[tokio::test]
async fn a_session_takes_queries_and_hands_out_their_rows() {
    let world = World::new().await;
    let client = world.demo();
    let task = "<SQLRT><Name>AnonymousSQLRTTask</Name></SQLRT>";
    let start = format!("<Instance><Job><Priority>1</Priority><Tasks>{task}</Tasks></Job></Instance>");
    let started = client.post("/api/projects/p/instances", start).await.ok();
    let id = started.header("location").rsplit('/').next().unwrap().to_string();
    let info = format!("/api/projects/p/instances/{id}?info&taskname=AnonymousSQLRTTask");
    let status = client.get(&format!("{info}&key=status")).await.ok().json();
    assert_eq!(status, serde_json::json!({"status": 2, "result": format!("Session name: {id}")}));
    let query = |sql: &str, settings: serde_json::Value| {
        let value = serde_json::json!({"query": sql, "settings": settings}).to_string();
        format!("<Instance><Key>query</Key><Value>{value}</Value></Instance>")
    };
    let number = async |sql: &str| {
        let reply = client.put(&info, query(sql, serde_json::json!({"a": "1"}))).await.ok();
        assert!(reply.header("location").ends_with(&id));
        let answer = reply.json();
        assert_eq!(answer["status"], "ok");
        let result: serde_json::Value = serde_json::from_str(answer["result"].as_str().unwrap()).unwrap();
        result["queryId"].as_u64().unwrap()
    };
    let (rows, failed) = (number("select 1;").await, number("fail now;").await);
    assert_ne!(rows, failed);
    let read = format!("/projects/p/instances/{id}?data=&cached=&taskname=AnonymousSQLRTTask");
    let got = client.get(&format!("{read}&queryid={rows}")).await.ok();
    assert_eq!(got.body, crate::tunnel::hex(crate::tunnel::ROWS));
    let schema: serde_json::Value = serde_json::from_str(got.header("odps-tunnel-schema")).unwrap();
    assert_eq!((&schema["columns"][0]["name"], &schema["columns"][1]["type"]), (&"s".into(), &"bigint".into()));
    for (number, status) in [(rows, 5), (failed, 4)] {
        let told = client.get(&format!("{info}&key=result_{number}")).await.ok().json();
        assert_eq!((told["status"].as_u64(), told["subQueryId"].as_u64()), (Some(status), Some(number)), "{told}");
        assert_eq!(told["result"].as_str().unwrap().starts_with("ODPS-0130131"), status == 4);
    }
    let source = client.get(&format!("{info}&key=sourcexml_{rows}")).await.ok().json();
    assert!(source["result"].as_str().unwrap().starts_with("<SQL>"), "{source}");
    client.get(&format!("{info}&key=result_1")).await.refused(404, "NoSuchObject");
    client.get(&format!("{read}&queryid=1")).await.refused(404, "NoSuchObject");
    let off = query("select 1;", serde_json::json!({"odps.mcqa.disable": "true"}));
    client.put(&info, off).await.refused(400, "InvalidParameter");
    // PyODPS sends a PUT again when its answer is lost (_RETRY_METHODS in odps/rest.py).
    let change = query("insert into t select 1;", serde_json::json!({}));
    client.put(&info, change).await.refused(400, "InvalidParameter");
    // Who may only look at instances and stop them runs no SQL.
    let allow = serde_json::json!({"Effect": "Allow", "Action": "*", "Resource": "acs:odps:*:projects/p/instances/*"});
    let token = world.token(serde_json::json!({"Version": "1", "Statement": [allow]})).await;
    let watcher = world.with_credentials(crate::client::Credentials::Bearer(token));
    watcher.get(&format!("{info}&key=status")).await.ok();
    watcher.put(&info, query("select 1;", serde_json::json!({}))).await.refused(403, "NoPermission");
}
