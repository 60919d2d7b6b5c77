//! The registry of functions: what clients register by a class, and what SQL made of a text.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::rows::{DEFAULT_SCHEMA, Function, ObjectName, Step};
use feitian_wire::xml::{docs, parse_function};

use crate::answers;
use crate::call::{Answer, Call};

const PAGE: usize = 1000;

/// `project/resources/name` or `project/schemas/schema/resources/name`.
fn resource_text(at: &ObjectName) -> String {
    let ObjectName { project, schema_name, name } = at;
    match schema_name.as_str() {
        DEFAULT_SCHEMA => format!("{project}/resources/{name}"),
        _ => format!("{project}/schemas/{schema_name}/resources/{name}"),
    }
}

/// Reads the name of a resource; a bare one is in the project and schema of the function.
fn resource_name(text: &str, function: &ObjectName) -> Result<ObjectName> {
    let at = |project: &str, schema_name: &str, name: &str| ObjectName {
        project: project.to_lowercase(),
        schema_name: schema_name.to_lowercase(),
        name: name.to_string(),
    };
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => Ok(at(&function.project, &function.schema_name, name)),
        [project, "resources", name] => Ok(at(project, DEFAULT_SCHEMA, name)),
        [project, "schemas", schema, "resources", name] => Ok(at(project, schema, name)),
        _ => {
            let message = format!("'{text}' is no resource; write name or project/resources/name");
            Err(Error::new(Kind::Invalid, "InvalidParameter", message))
        }
    }
}

fn document(function: Function) -> docs::Function {
    docs::Function {
        resources: function.resources.iter().map(resource_text).collect(),
        name: function.at.name,
        owner: function.owner,
        created_ms: function.created_ms,
        class_type: function.class_type,
        sql: function.sql,
    }
}

pub async fn list(call: Call) -> Answer {
    let (schema, size) = (call.known_schema().await?, call.page_size(PAGE)?);
    let prefix = call.query.get("name").unwrap_or_default().to_lowercase();
    let filter = (prefix.as_str(), call.query.get("owner"));
    let (meta, marker) = (&call.state.meta, call.query.get("marker"));
    let mut found = meta.list_functions(call.project(), schema, filter, marker, size as i64 + 1).await?;
    let next = (found.len() > size).then(|| found[size - 1].at.name.clone());
    found.truncate(size);
    let items: Vec<_> = found.into_iter().map(document).collect();
    answers::xml(docs::functions(&items, &docs::Page { marker: next, max_items: Some(size as u64) }))
}

pub async fn get(call: Call) -> Answer {
    let at = call.object("function");
    let missing = || {
        let message = format!("Function not found - '{}.{}'", at.project, at.name);
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    answers::xml(docs::function(&document(call.state.meta.function(&at).await?.ok_or_else(missing)?)))
}

async fn requested(call: &Call, name: Option<ObjectName>) -> Result<Function> {
    let request = parse_function(&call.document().await?)?;
    let at = name.unwrap_or_else(|| ObjectName {
        project: call.project().to_string(),
        schema_name: call.schema().to_string(),
        name: request.name.to_lowercase(),
    });
    if at.name.is_empty() || !at.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let message = format!("invalid function name '{}': a name has letters, digits and underscores", at.name);
        return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
    }
    let resources = request.resources.iter().map(|r| resource_name(r, &at)).collect::<Result<_>>()?;
    let now = clock::tick_ms();
    let owner = call.caller()?.name.clone();
    let class_type = request.class_type;
    Ok(Function { at, owner, class_type, resources, sql: None, created_ms: now, modified_ms: now })
}

pub async fn create(call: Call) -> Answer {
    call.state.meta.create_function(&requested(&call, None).await?, &Step::None).await?;
    answers::empty(StatusCode::CREATED)
}

/// Class and resources; owner and creation time stay.
pub async fn update(call: Call) -> Answer {
    call.state.meta.update_function(&requested(&call, Some(call.object("function"))).await?).await?;
    answers::empty(StatusCode::OK)
}

pub async fn change_owner(call: Call) -> Answer {
    let missing = || Error::new(Kind::Invalid, "InvalidParameter", "header x-odps-owner is missing");
    let owner = call.header("x-odps-owner").ok_or_else(missing)?;
    call.state.meta.change_function_owner(&call.object("function"), owner, clock::tick_ms()).await?;
    answers::empty(StatusCode::OK)
}

pub async fn delete(call: Call) -> Answer {
    call.state.meta.drop_function(&call.object("function"), &Step::None).await?;
    answers::empty(StatusCode::OK)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // Forms: `odps/models/resource.py` of PyODPS, split_resource_name and full_resource_name.
    #[test]
    fn resources_are_named_in_three_forms() {
        let name = |project: &str, schema: &str, name: &str| ObjectName {
            project: project.into(),
            schema_name: schema.into(),
            name: name.into(),
        };
        let function = name("p", "s", "f");
        for (text, want) in [
            ("My.py", name("p", "s", "My.py")),
            ("Q/resources/My.py", name("q", "default", "My.py")),
            ("q/schemas/s2/resources/a.jar", name("q", "s2", "a.jar")),
        ] {
            let got = resource_name(text, &function).unwrap();
            assert_eq!(got, want);
            assert_eq!(resource_name(&resource_text(&got), &function).unwrap(), want);
        }
        assert!(resource_name("q/tables/t", &function).is_err());
    }
}
