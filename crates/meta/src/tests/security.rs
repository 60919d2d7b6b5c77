//! Users, roles and grants.

use super::*;

/// Project `p` of `u1` with the table `t1`, and the accounts `u2` and `u3`, of which `u2` is a user.
async fn with_user(m: &Meta) {
    with_table(m).await;
    for id in ["u2", "u3"] {
        m.create_account(&account(id)).await.unwrap();
    }
    m.add_user("p", "u2", &Step::None).await.unwrap();
}

fn user(id: &str) -> Grantee {
    Grantee::User(id.into())
}

fn role(name: &str) -> Grantee {
    Grantee::Role(name.into())
}

fn t1() -> Securable {
    Securable::Table("t1".into())
}

async fn may(m: &Meta, id: &str, object: &Securable, action: &str) -> bool {
    m.is_granted("p", id, object, action).await.unwrap()
}

#[tokio::test]
async fn an_account_is_in_a_project_as_owner_by_admission_as_a_user_or_not() {
    on_both(async |db| {
        let m = &db.meta;
        with_user(m).await;
        assert_eq!(m.access("p", "u1").await.unwrap(), Access::Whole);
        assert_eq!(m.access("p", "u2").await.unwrap(), Access::Granted);
        assert_eq!(m.access("p", "u3").await.unwrap(), Access::None);
        assert_eq!(m.access("q", "u2").await.unwrap(), Access::None);
        assert!(!m.is_admitted("p", "u2").await.unwrap() && m.projects_of("u2").await.unwrap().is_empty());
        m.admit("p", "u3").await.unwrap();
        assert_eq!(m.access("p", "u3").await.unwrap(), Access::Whole);
        for id in ["u1", "u2", "u3"] {
            refused(m.add_user("p", id, &Step::None).await, Kind::Conflict, "ObjectAlreadyExists");
        }
        refused(m.add_user("p", "nobody", &Step::None).await, Kind::NotFound, "NoSuchObject");
        refused(m.add_user("q", "u3", &Step::None).await, Kind::NotFound, "NoSuchProject");
        let names: Vec<String> = m.project_users("p").await.unwrap().into_iter().map(|a| a.name).collect();
        assert_eq!(names, ["ALIYUN$u2"]);
        m.remove_user("p", "u3", &Step::None).await.unwrap();
        assert_eq!(m.access("p", "u3").await.unwrap(), Access::None);
        refused(m.remove_user("p", "u3", &Step::None).await, Kind::NotFound, "NoSuchObject");
        refused(m.remove_user("p", "u1", &Step::None).await, Kind::Invalid, "InvalidParameter");
    })
    .await;
}

#[tokio::test]
async fn a_user_may_what_was_granted_and_nothing_else() {
    on_both(async |db| {
        let m = &db.meta;
        with_user(m).await;
        assert!(!may(m, "u2", &t1(), "Select").await);
        m.grant("p", &user("u2"), &t1(), &texts(&["Select", "Describe"]), &Step::None).await.unwrap();
        m.grant("p", &user("u2"), &t1(), &texts(&["Select"]), &Step::None).await.unwrap();
        assert!(may(m, "u2", &t1(), "Select").await && may(m, "u2", &t1(), "Describe").await);
        assert!(!may(m, "u2", &t1(), "Update").await && !may(m, "u2", &Securable::Project, "Select").await);
        assert!(!may(m, "u2", &Securable::Table("t2".into()), "Select").await);
        assert!(!m.is_granted("q", "u2", &t1(), "Select").await.unwrap());
        m.revoke("p", &user("u2"), &t1(), &texts(&["Select", "Drop"]), &Step::None).await.unwrap();
        assert!(!may(m, "u2", &t1(), "Select").await && may(m, "u2", &t1(), "Describe").await);
        m.grant("p", &user("u2"), &Securable::Project, &texts(&["All"]), &Step::None).await.unwrap();
        assert!(may(m, "u2", &Securable::Project, "CreateTable").await && !may(m, "u2", &t1(), "Select").await);
        let part = m.revoke("p", &user("u2"), &Securable::Project, &texts(&["List"]), &Step::None).await;
        refused(part, Kind::Conflict, "InvalidStateSetting");
        m.revoke("p", &user("u2"), &Securable::Project, &texts(&["All"]), &Step::None).await.unwrap();
        assert!(!may(m, "u2", &Securable::Project, "List").await);
        for nobody in [user("u3"), role("r")] {
            let granted = m.grant("p", &nobody, &t1(), &texts(&["Select"]), &Step::None).await;
            refused(granted, Kind::NotFound, "NoSuchObject");
        }
    })
    .await;
}

#[tokio::test]
async fn a_role_gives_its_users_what_was_granted_to_it_for_as_long_as_they_have_it() {
    on_both(async |db| {
        let m = &db.meta;
        with_user(m).await;
        m.create_role("p", "reader", 5, &Step::None).await.unwrap();
        refused(m.create_role("p", "reader", 6, &Step::None).await, Kind::Conflict, "ObjectAlreadyExists");
        refused(m.create_role("q", "reader", 6, &Step::None).await, Kind::NotFound, "NoSuchProject");
        m.grant("p", &role("reader"), &t1(), &texts(&["Select"]), &Step::None).await.unwrap();
        assert!(!may(m, "u2", &t1(), "Select").await);
        refused(m.assign_role("p", "reader", "u3", &Step::None).await, Kind::NotFound, "NoSuchObject");
        refused(m.assign_role("p", "writer", "u2", &Step::None).await, Kind::NotFound, "NoSuchObject");
        m.assign_role("p", "reader", "u2", &Step::None).await.unwrap();
        m.assign_role("p", "reader", "u2", &Step::None).await.unwrap();
        assert!(may(m, "u2", &t1(), "Select").await && !may(m, "u3", &t1(), "Select").await);
        assert_eq!(m.roles("p", None).await.unwrap(), ["reader"]);
        assert_eq!(m.roles("p", Some("u2")).await.unwrap(), ["reader"]);
        assert_eq!(m.role_users("p", "reader").await.unwrap(), [account("u2")]);
        refused(m.role_users("p", "writer").await, Kind::NotFound, "NoSuchObject");
        refused(m.drop_role("p", "reader", &Step::None).await, Kind::Conflict, "InvalidStateSetting");
        m.unassign_role("p", "reader", "u2", &Step::None).await.unwrap();
        refused(m.unassign_role("p", "reader", "u2", &Step::None).await, Kind::NotFound, "NoSuchObject");
        assert!(!may(m, "u2", &t1(), "Select").await);
        m.drop_role("p", "reader", &Step::None).await.unwrap();
        refused(m.drop_role("p", "reader", &Step::None).await, Kind::NotFound, "NoSuchObject");
        // A role of the same name later has nothing of the old one.
        m.create_role("p", "reader", 7, &Step::None).await.unwrap();
        assert!(m.grants("p", Some(&role("reader"))).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn whoever_leaves_a_project_comes_back_without_rights() {
    on_both(async |db| {
        let m = &db.meta;
        with_user(m).await;
        m.create_role("p", "reader", 5, &Step::None).await.unwrap();
        m.grant("p", &role("reader"), &t1(), &texts(&["Select"]), &Step::None).await.unwrap();
        for out in ["remove", "expel"] {
            m.assign_role("p", "reader", "u2", &Step::None).await.unwrap();
            m.grant("p", &user("u2"), &t1(), &texts(&["Update"]), &Step::None).await.unwrap();
            match out {
                "remove" => m.remove_user("p", "u2", &Step::None).await.unwrap(),
                _ => m.expel("p", "u2").await.unwrap(),
            }
            assert!(!may(m, "u2", &t1(), "Select").await, "{out}");
            m.add_user("p", "u2", &Step::None).await.unwrap();
            assert!(!may(m, "u2", &t1(), "Select").await && !may(m, "u2", &t1(), "Update").await, "{out}");
            assert!(m.roles("p", Some("u2")).await.unwrap().is_empty(), "{out}");
        }
    })
    .await;
}

#[tokio::test]
async fn grants_follow_a_table_to_its_new_name_and_end_with_it() {
    on_both(async |db| {
        let m = &db.meta;
        with_user(m).await;
        m.grant("p", &user("u2"), &t1(), &texts(&["Select"]), &Step::None).await.unwrap();
        m.grant("p", &user("u2"), &Securable::Project, &texts(&["List"]), &Step::None).await.unwrap();
        let renamed = Table { name: "renamed".into(), ..table("t1", "t") };
        m.update_table(&renamed, 0, &Step::None).await.unwrap();
        let shown = async || {
            let found = m.grants("p", None).await.unwrap();
            found.into_iter().map(|g| (g.action, g.table)).collect::<Vec<_>>()
        };
        let pair = |action: &str, table: &str| (action.to_string(), table.to_string());
        assert_eq!(shown().await, [pair("List", ""), pair("Select", "renamed")]);
        m.drop_table("t1", 9_000, &Step::None).await.unwrap();
        assert_eq!(shown().await, [pair("List", "")]);
        m.create_table(&table("t2", "renamed"), &[], &Step::None).await.unwrap();
        assert!(!may(m, "u2", &Securable::Table("t2".into()), "Select").await);
        m.forget_table("t1").await.unwrap();
        assert!(!may(m, "u2", &t1(), "Select").await);
    })
    .await;
}

#[tokio::test]
async fn a_project_takes_its_users_and_roles_with_it() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        m.create_account(&account("u2")).await.unwrap();
        m.add_user("p", "u2", &Step::None).await.unwrap();
        m.create_role("p", "reader", 5, &Step::None).await.unwrap();
        m.assign_role("p", "reader", "u2", &Step::None).await.unwrap();
        m.grant("p", &role("reader"), &Securable::Project, &texts(&["List"]), &Step::None).await.unwrap();
        m.delete_project("p").await.unwrap();
        m.create_project(&project("p")).await.unwrap();
        assert_eq!(m.access("p", "u2").await.unwrap(), Access::None);
        assert!(m.roles("p", None).await.unwrap().is_empty() && m.grants("p", None).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_right_is_given_together_with_the_step_of_its_job_and_once() {
    on_both(async |db| {
        let m = &db.meta;
        with_user(m).await;
        running(m, "i1").await;
        let first = step("i1", 1, 0);
        m.create_role("p", "reader", 5, &first).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 1);
        refused(m.add_user("p", "u3", &first).await, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.access("p", "u3").await.unwrap(), Access::None);
        // What fails leaves the step where it was.
        refused(m.create_role("p", "reader", 5, &step("i1", 1, 1)).await, Kind::Conflict, "ObjectAlreadyExists");
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 1);
        assert_eq!(m.instance_owner("p", "i1").await.unwrap().as_deref(), Some("ALIYUN$u1"));
        assert_eq!(m.instance_owner("q", "i1").await.unwrap(), None);
    })
    .await;
}
