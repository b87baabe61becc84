use std::{fs, os::unix::fs::symlink, path::Path};

use propeller_api::{Directory, EnvVar, Grants};

use super::*;

fn refusal(grants: &Grants, policy: &Policy) -> Option<(String, &'static str)> {
    let refused = Granted::check(grants, policy, &task(), &Means::system()).err()?;
    Some((refused.to_string(), refused.reason()))
}

fn task() -> TaskContext {
    TaskContext {
        namespace: "lab".to_owned(),
        name: "probe".to_owned(),
        uid: "1".to_owned(),
        attempt: 1,
    }
}

#[test]
fn a_refusal_names_the_grant() {
    let check = |policy: Policy, grants: &str, expected: &str| {
        let grants: Grants = serde_json::from_str(grants).unwrap();
        let (message, reason) = refusal(&grants, &policy).unwrap();
        assert_eq!((message.as_str(), reason), (expected, "NotGranted"));
    };
    let nothing = Policy {
        env: false,
        config: false,
        ..Policy::default()
    };
    check(
        nothing.clone(),
        r#"{"env": [{"name": "A"}]}"#,
        "grants.env: this proplet's policy has policy.env = false",
    );
    check(
        nothing.clone(),
        r#"{"config": {"a": "b"}}"#,
        "grants.config: this proplet's policy has policy.config = false",
    );
    check(
        nothing,
        r#"{"net": ["db.lab:5432"]}"#,
        "grants.net[0] \"db.lab:5432\": this proplet's policy doesn't allow it; it allows nothing",
    );
    check(
        Policy::default(),
        r#"{"keyvalue": [{"bucket": "b"}]}"#,
        "grants.keyvalue: this proplet's policy has policy.keyvalue = false",
    );
    let some = Policy {
        http: Allowed::Only(vec!["*.example.com".parse().unwrap()]),
        ..Policy::default()
    };
    check(
        some,
        r#"{"http": ["api.example.com", "10.0.0.7"]}"#,
        "grants.http[1] \"10.0.0.7\": this proplet's policy doesn't allow it; it allows *.example.com",
    );
}

#[test]
fn values_do_not_show() {
    let grants = Grants {
        env: vec![EnvVar {
            name: "TOKEN".to_owned(),
            value: "hunter2".to_owned(),
        }],
        config: [("key".to_owned(), "hunter2".to_owned())].into(),
        ..Grants::default()
    };
    let shown = format!(
        "{:?}",
        Granted::check(&grants, &Policy::default(), &task(), &Means::system()).unwrap()
    );
    assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn directories_are_below_a_root_in_truth() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("root/inner")).unwrap();
    fs::create_dir_all(at("read")).unwrap();
    fs::create_dir_all(at("secret")).unwrap();
    fs::write(at("root/file"), "").unwrap();
    symlink("../secret", at("root/out")).unwrap();
    symlink("inner", at("root/in")).unwrap();
    symlink("root", at("link")).unwrap();
    let root = |name: &str, read_only| Root {
        path: at(name),
        read_only,
    };
    let check = |path: &Path, read_only: bool, expected: Option<&str>| {
        let policy = Policy {
            directories: vec![root("root", false), root("read", true), root("link", true)],
            ..Policy::default()
        };
        let directory = Directory {
            host_path: path.display().to_string(),
            guest_path: "/data".to_owned(),
            read_only,
        };
        let grants = Grants {
            directories: vec![directory],
            ..Grants::default()
        };
        let refused = refusal(&grants, &policy);
        assert_eq!(
            refused.as_ref().map(|(_, reason)| *reason),
            expected,
            "{}: {refused:?}",
            path.display()
        );
    };
    check(&at("root"), false, None);
    check(&at("root/inner"), false, None);
    check(&at("root/in"), false, None);
    check(&at("read"), true, None);
    check(&at("link/inner"), true, None);
    check(&at("read"), false, Some("NotGranted"));
    check(&at("link/inner"), false, Some("NotGranted"));
    check(&at("root/out"), true, Some("NotGranted"));
    check(&at("secret"), true, Some("NotGranted"));
    check(&at("rootless"), true, Some("NotGranted"));
    check(&at("nowhere/at/all"), true, Some("NotGranted"));
    check(&at("root/nowhere"), true, Some("DirectoryUnavailable"));
    check(&at("root/file"), true, Some("DirectoryUnavailable"));
    check(&at("root/../secret"), true, Some("InvalidGrant"));
    check(Path::new("root"), true, Some("InvalidGrant"));
}
