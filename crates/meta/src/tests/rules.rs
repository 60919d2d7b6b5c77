//! Policies, the switches of a project's security, and labels.

use super::*;
use crate::{Claim, Target};

const READ_ALL: &str = r#"{"Version": "1",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "odps:Select", "Resource": "acs:odps:*:projects/p/*"}]}"#;

/// Project `p` of `u1` with the table `t1`; `u2` is a user of it, `u3` was admitted.
async fn with_accounts(m: &Meta) {
    with_table(m).await;
    for id in ["u2", "u3"] {
        m.create_account(&account(id)).await.unwrap();
    }
    m.add_user("p", "u2", &Step::None).await.unwrap();
    m.admit("p", "u3").await.unwrap();
}

/// A statement of a policy on the table `t`.
fn statement(effect: &str, principal: &str, action: &str) -> String {
    let principal = if principal.is_empty() { String::new() } else { format!(r#""Principal":"{principal}","#) };
    let resource = "acs:odps:*:projects/p/tables/t";
    format!(r#"{{"Effect":"{effect}",{principal}"Action":"{action}","Resource":"{resource}"}}"#)
}

fn policy(statements: &[String]) -> String {
    format!(r#"{{"Statement":[{}],"Version":"1"}}"#, statements.join(","))
}

async fn may(m: &Meta, id: &str, action: &str, claim: Claim) -> bool {
    let target = Target::table(&table("t1", "t"));
    m.may("p", id, &[(action, &target)], claim).await.unwrap()
}

#[tokio::test]
async fn a_policy_comes_back_as_it_was_given_and_goes_with_its_role_or_project() {
    on_both(async |db| {
        let m = &db.meta;
        with_accounts(m).await;
        assert_eq!(m.policy("p", None).await.unwrap(), None);
        m.put_policy("p", None, READ_ALL).await.unwrap();
        m.put_policy("p", None, READ_ALL).await.unwrap();
        assert_eq!(m.policy("p", None).await.unwrap().as_deref(), Some(READ_ALL));
        m.put_policy("p", None, " ").await.unwrap();
        assert_eq!(m.policy("p", None).await.unwrap(), None);
        let elsewhere = READ_ALL.replace("projects/p/", "projects/q/");
        refused(m.put_policy("q", None, &elsewhere).await, Kind::NotFound, "NoSuchProject");
        refused(m.put_policy("p", Some("r"), "").await, Kind::NotFound, "NoSuchObject");
        refused(m.policy("p", Some("r")).await, Kind::NotFound, "NoSuchObject");
        let unknown = policy(&[statement("Deny", "ALIYUN$nobody", "odps:Select")]);
        let message = refused(m.put_policy("p", None, &unknown).await, Kind::Invalid, "InvalidParameter");
        assert!(message.contains("ALIYUN$nobody"), "{message}");
        let message = refused(m.put_policy("p", None, "{}").await, Kind::Invalid, "InvalidParameter");
        assert!(message.contains("Statement"), "{message}");
        m.create_role("p", "r", 5, &Step::None).await.unwrap();
        let of_role = policy(&[statement("Allow", "", "odps:Select")]);
        m.put_policy("p", Some("r"), &of_role).await.unwrap();
        assert_eq!(m.policy("p", Some("r")).await.unwrap(), Some(of_role));
        m.drop_role("p", "r", &Step::None).await.unwrap();
        m.create_role("p", "r", 6, &Step::None).await.unwrap();
        assert_eq!(m.policy("p", Some("r")).await.unwrap(), None);
    })
    .await;
}

// MaxCompute documentation, "Policy-based access control": a Deny takes precedence over whatever allows the same.
#[tokio::test]
async fn a_deny_beats_grants_ownership_and_admission_but_not_the_owner_of_the_project() {
    on_both(async |db| {
        let m = &db.meta;
        with_accounts(m).await;
        let granted = Securable::Table("t1".into());
        m.grant("p", &Grantee::User("u2".into()), &granted, &texts(&["All"]), &Step::None).await.unwrap();
        assert!(may(m, "u2", "Select", Claim::Nothing).await && may(m, "u3", "Select", Claim::Nothing).await);
        assert_eq!(m.access("p", "u3").await.unwrap(), Access::Whole);
        m.put_policy("p", None, &policy(&[statement("Deny", "*", "odps:Select")])).await.unwrap();
        for claim in [Claim::Nothing, Claim::Maker, Claim::Anybody] {
            assert!(!may(m, "u2", "Select", claim).await && !may(m, "u3", "Select", claim).await);
            assert!(may(m, "u2", "Update", claim).await && may(m, "u3", "Update", claim).await);
            assert!(may(m, "u1", "Select", claim).await);
        }
        // Whoever is denied something is asked for everything.
        let access = async |id: &str| m.access("p", id).await.unwrap();
        assert_eq!((access("u1").await, access("u3").await), (Access::Whole, Access::Granted));
        assert_eq!(m.open_projects("u3").await.unwrap(), Vec::<String>::new());
        assert_eq!(m.open_projects("u1").await.unwrap(), ["p"]);
        // One account alone, and the table by its longer name.
        let one = policy(&[statement("Deny", "ALIYUN$u2", "odps:*")]).replace("/tables/", "/schemas/default/tables/");
        m.put_policy("p", None, &one).await.unwrap();
        assert!(!may(m, "u2", "Drop", Claim::Maker).await && may(m, "u3", "Drop", Claim::Nothing).await);
        assert_eq!((access("u3").await, m.open_projects("u3").await.unwrap()), (Access::Whole, texts(&["p"])));
        // Of several wanted things each may be denied, and one is enough.
        let (project, function) = (Target::project("p"), Target::function(&at("default", "f")));
        let wanted = [("Write", &project), ("Delete", &function)];
        assert!(m.may("p", "u3", &wanted, Claim::Nothing).await.unwrap());
        let deny = r#"{"Statement":[{"Effect":"Deny","Principal":"ALIYUN$u3","Action":"odps:Delete",
                       "Resource":"acs:odps:*:projects/p/functions/f"}]}"#;
        m.put_policy("p", None, deny).await.unwrap();
        assert!(!m.may("p", "u3", &wanted, Claim::Nothing).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn what_a_policy_allows_needs_no_grant_and_is_for_those_in_the_project() {
    on_both(async |db| {
        let m = &db.meta;
        with_accounts(m).await;
        m.create_account(&account("u4")).await.unwrap();
        m.put_policy("p", None, READ_ALL).await.unwrap();
        assert!(may(m, "u2", "Select", Claim::Nothing).await && !may(m, "u2", "Update", Claim::Nothing).await);
        assert!(!may(m, "u4", "Select", Claim::Anybody).await, "the account is not in the project");
        m.put_policy("p", None, "").await.unwrap();
        m.create_role("p", "writer", 5, &Step::None).await.unwrap();
        m.put_policy("p", Some("writer"), &policy(&[statement("Allow", "", "odps:Update")])).await.unwrap();
        assert!(!may(m, "u2", "Update", Claim::Nothing).await);
        m.assign_role("p", "writer", "u2", &Step::None).await.unwrap();
        assert!(may(m, "u2", "Update", Claim::Nothing).await && !may(m, "u2", "Select", Claim::Nothing).await);
        m.unassign_role("p", "writer", "u2", &Step::None).await.unwrap();
        assert!(!may(m, "u2", "Update", Claim::Nothing).await);
    })
    .await;
}

// MaxCompute documentation, "Project security configurations": what each switch turns off.
#[tokio::test]
async fn switches_turn_off_what_they_name_and_stay_as_they_were_put() {
    on_both(async |db| {
        let m = &db.meta;
        with_accounts(m).await;
        let turn = async |switch: Switch, on: bool| {
            m.turn_switches("p", &[(switch, on)], &Step::None).await.unwrap();
        };
        assert_eq!(m.switches("p").await.unwrap(), Switches::default());
        let granted = Securable::Table("t1".into());
        m.grant("p", &Grantee::User("u2".into()), &granted, &texts(&["Select"]), &Step::None).await.unwrap();
        turn(Switch::Acl, false).await;
        assert!(!may(m, "u2", "Select", Claim::Nothing).await);
        assert!(may(m, "u2", "Select", Claim::Maker).await);
        turn(Switch::CreatorAccess, false).await;
        assert!(!may(m, "u2", "Select", Claim::Maker).await);
        m.put_policy("p", None, READ_ALL).await.unwrap();
        assert!(may(m, "u2", "Select", Claim::Nothing).await);
        turn(Switch::Policy, false).await;
        assert!(!may(m, "u2", "Select", Claim::Nothing).await);
        turn(Switch::Acl, true).await;
        assert!(may(m, "u2", "Select", Claim::Nothing).await);
        let now = Switches { policy: false, creator_access: false, ..Switches::default() };
        assert_eq!(db.another().await.switches("p").await.unwrap(), now);
        refused(m.turn_switches("q", &[], &Step::None).await, Kind::NotFound, "NoSuchProject");
    })
    .await;
}

async fn hidden(m: &Meta, id: &str, now_ms: i64) -> String {
    let table = table("t1", "t");
    m.hidden(&table, &table.schema.columns, id, now_ms).await.unwrap().join(",")
}

// MaxCompute documentation, "Label-based access control": levels of accounts and roles, grants that end.
#[tokio::test]
async fn a_column_is_hidden_from_users_whose_label_is_below_its_own() {
    on_both(async |db| {
        let m = &db.meta;
        with_accounts(m).await;
        let (t, user) = (table("t1", "t"), Grantee::User("u2".into()));
        m.label_table(&t, &texts(&["x"]), 3, &Step::None).await.unwrap();
        assert_eq!(hidden(m, "u2", 0).await, "", "labels do not count until they are switched on");
        m.turn_switches("p", &[(Switch::Labels, true)], &Step::None).await.unwrap();
        assert_eq!(hidden(m, "u2", 0).await, "x");
        assert_eq!((hidden(m, "u1", 0).await, hidden(m, "u3", 0).await), (String::new(), String::new()));
        m.label_holder("p", &user, 2, &Step::None).await.unwrap();
        assert_eq!(hidden(m, "u2", 0).await, "x");
        m.create_role("p", "clerk", 5, &Step::None).await.unwrap();
        m.label_holder("p", &Grantee::Role("clerk".into()), 4, &Step::None).await.unwrap();
        m.assign_role("p", "clerk", "u2", &Step::None).await.unwrap();
        assert_eq!(hidden(m, "u2", 0).await, "");
        m.unassign_role("p", "clerk", "u2", &Step::None).await.unwrap();
        m.drop_role("p", "clerk", &Step::None).await.unwrap();
        assert_eq!(hidden(m, "u2", 0).await, "x");
        m.grant_label(&t, &[], &user, Some((3, 1_000)), &Step::None).await.unwrap();
        assert_eq!((hidden(m, "u2", 999).await, hidden(m, "u2", 1_000).await), (String::new(), "x".to_string()));
        let granted = m.label_grants("p", 999).await.unwrap();
        assert_eq!((granted.len(), granted[0].table.as_str(), granted[0].level), (1, "t", 3));
        m.clear_label_grants("p", 1_000, &Step::None).await.unwrap();
        assert!(m.label_grants("p", 0).await.unwrap().is_empty());
        m.grant_label(&t, &texts(&["x"]), &user, Some((9, 5_000)), &Step::None).await.unwrap();
        m.grant_label(&t, &texts(&["x"]), &user, None, &Step::None).await.unwrap();
        assert_eq!(hidden(m, "u2", 0).await, "x");
        // Whoever comes back has no label of before.
        m.label_holder("p", &user, 9, &Step::None).await.unwrap();
        m.remove_user("p", "u2", &Step::None).await.unwrap();
        refused(m.label_holder("p", &user, 9, &Step::None).await, Kind::NotFound, "NoSuchObject");
        m.add_user("p", "u2", &Step::None).await.unwrap();
        assert_eq!(hidden(m, "u2", 0).await, "x");
        let changed = Table { schema_version: 7, ..t.clone() };
        refused(m.label_table(&changed, &[], 1, &Step::None).await, Kind::Conflict, "InvalidStateSetting");
        m.drop_table("t1", 9_000, &Step::None).await.unwrap();
        m.forget_table("t1").await.unwrap();
        assert!(m.labels("t1").await.unwrap().is_empty());
    })
    .await;
}
