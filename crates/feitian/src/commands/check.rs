//! `feitian check`: opens a data directory that no server uses, and proves that its parts agree.

use std::io::Write;

use feitian_base::Tasks;
use feitian_warehouse::check::{self, Report};

use super::item;
use crate::bootstrap;
use crate::cli::CheckArgs;
use crate::config::{Config, Sources};
use crate::datadir::{DataDir, Share};
use crate::failure::{Answer, Failure, Result};
use crate::output::{self, Field, Format, Shown, field};
use crate::up::parts;

const FIELDS: [Field; 4] = [
    field("tables", "TABLES", Shown::Number),
    field("files", "FILES", Shown::Number),
    field("rows", "ROWS", Shown::Number),
    field("repaired", "REPAIRED", Shown::Number),
];

pub(crate) fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<Answer> {
    let mut flags = vec![("data".to_string(), args.dir.display().to_string(), "DATA".to_string())];
    flags.extend(args.meta.iter().map(|url| ("meta".to_string(), url.clone(), "--meta".to_string())));
    let environment: Vec<_> = std::env::vars_os().collect();
    let config = Config::load(&Sources { file: args.config.clone(), environment, flags })?;
    let dir = DataDir::open_existing(&config.data, Share::Alone)?;
    if config.meta.is_none() && !dir.sqlite_file().exists() {
        return Err(Failure::new(format!("{} holds no metadata database", dir.root().display()))
            .hint("if its metadata are in PostgreSQL, name it with --meta postgres://…"));
    }
    let runtime = parts::runtime()?;
    let report = runtime.block_on(open_and_check(&config, &dir, args.repair));
    dir.remove_tmp();
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    print(&report?, args.output, out)
}

async fn open_and_check(config: &Config, dir: &DataDir, repair: bool) -> Result<Report> {
    let meta = parts::open_meta(config, dir).await?;
    bootstrap::bind_directory(dir, &meta).await?;
    let warehouse = parts::open_idle_warehouse(config, dir, meta.clone(), Tasks::new()).await?;
    let report = check::run(&warehouse, repair).await?;
    meta.close().await;
    Ok(report)
}

/// JSON is one object with a list `problems`; elsewhere the problems are lines on stderr.
fn print(report: &Report, format: Format, out: &mut dyn Write) -> Result<Answer> {
    let fields = item(report);
    if format == Format::Json {
        output::json(out, &serde_json::Value::Object(fields))?;
    } else {
        output::object(out, format, &FIELDS, &fields)?;
        report.problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
    }
    Ok(if report.problems.is_empty() { Answer::Done } else { Answer::No })
}
