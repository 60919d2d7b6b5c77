//! What a ready server prints: where it is, the key, and five lines of Python that use it.

use std::io::{self, Write};

use super::Server;
use crate::credentials::{self, Credentials};

/// Prints the address of `server` and how to connect; the secret only on the first start.
pub(super) fn print(server: &Server, out: &mut dyn Write) -> io::Result<()> {
    let path = server.data().join(credentials::FILE_NAME).display().to_string();
    writeln!(out, "feitian {} is ready\n", env!("CARGO_PKG_VERSION"))?;
    let mut line = |title: &str, value: &str| writeln!(out, "  {title:<11} {value}");
    line("endpoint", &server.endpoint)?;
    line("console", &format!("{}/console", server.endpoint.trim_end_matches("/api")))?;
    line("table store", &server.ots_endpoint)?;
    let Some(c) = &server.credentials else {
        line("credentials", &format!("{path} is not there; use a key that you know"))?;
        return Ok(());
    };
    line("project", &c.project)?;
    line("access id", &c.access_id)?;
    if server.first {
        line("secret", &c.secret)?;
        line("", &format!("(shown this once, kept in {path})"))?;
    } else {
        line("secret", &format!("in {path}"))?;
    }
    line("data", &server.data().display().to_string())?;
    writeln!(out, "\nFrom Python (pip install pyodps):\n")?;
    for text in if server.first { with_secret(c) } else { from_file(&path) } {
        writeln!(out, "  {text}")?;
    }
    writeln!(out)
}

fn with_secret(c: &Credentials) -> [String; 5] {
    let (id, secret, project, endpoint) = (&c.access_id, &c.secret, &c.project, &c.endpoint);
    [
        "from odps import ODPS".to_string(),
        format!("o = ODPS({id:?}, {secret:?}, {project:?}, endpoint={endpoint:?})"),
        "with o.execute_sql(\"select 1 as x\").open_reader() as rows:".to_string(),
        "    for row in rows:".to_string(),
        "        print(row.x)".to_string(),
    ]
}

/// On a later start the secret stays in its file.
fn from_file(path: &str) -> [String; 5] {
    [
        "import json, odps".to_string(),
        format!("c = json.load(open({path:?}))"),
        "o = odps.ODPS(c[\"access_id\"], c[\"secret\"], c[\"project\"], endpoint=c[\"endpoint\"])".to_string(),
        "with o.execute_sql(\"select 1 as x\").open_reader() as rows:".to_string(),
        "    print([row.x for row in rows])".to_string(),
    ]
}
