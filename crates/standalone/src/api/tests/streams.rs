//! Watches and lines: what is told as it happens.

use super::*;

#[tokio::test]
async fn a_watch_tells_each_change_of_what_is_selected() {
    let world = World::new().await;
    world.create("a", json!({"site": "lab"})).await;
    let happen = async {
        world.create("b", json!({"site": "roof"})).await;
        let patch = |labels: Value| json!({"metadata": {"labels": labels}});
        world
            .ask(Method::PATCH, "namespaces/lab/tasks/b", patch(json!({"site": "lab"})))
            .await;
        world
            .ask(
                Method::PATCH,
                "namespaces/lab/tasks/b",
                json!({"spec": {"priority": 1}}),
            )
            .await;
        world
            .ask(Method::PATCH, "namespaces/lab/tasks/b", patch(json!({"site": "roof"})))
            .await;
        world.ask(Method::DELETE, "namespaces/lab/tasks/a", Value::Null).await;
    };
    let path = "tasks?watch=true&labelSelector=site%3Dlab";
    let (lines, ()) = tokio::join!(world.lines(path, |lines| lines.len() == 5), happen);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["type"].as_str().unwrap(),
                line["object"]["metadata"]["name"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("MODIFIED", "b"),
        ("DELETED", "b"),
        ("DELETED", "a"),
    ];
    assert_eq!(told, expected);
    // From a version on, and what is too old is told at once.
    let since = lines[1]["object"]["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("namespaces/lab/tasks?watch=1&resourceVersion={since}&timeoutSeconds=1");
    let again = world.lines(&path, |_| false).await;
    assert_eq!(
        again,
        [
            lines[2].clone(),
            json!({"type": "MODIFIED", "object": again[1]["object"]}),
            lines[4].clone()
        ]
    );
    for number in 0..5_000 {
        let patch = json!({"spec": {"priority": number}});
        if number % 500 == 0 {
            world.ask(Method::PATCH, "namespaces/lab/tasks/b", patch.clone()).await;
        }
        let key = propeller_api::NamespacedName {
            namespace: "lab".into(),
            name: "b".into(),
        };
        let mut task = serde_json::to_value(&*world.api.store.get(Kind::Task, &key).unwrap()).unwrap();
        task["spec"]["priority"] = (number + 10).into();
        let task = Resource::read(Kind::Task, &task).unwrap();
        world.api.store.write(Operation::Edit(task)).await.unwrap();
    }
    for version in [1, 1_000_000] {
        let (code, status) = world.get(&format!("tasks?watch=true&resourceVersion={version}")).await;
        assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    }
    assert_eq!(world.get("tasks?watch=true&sendInitialEvents=true").await.0, 400);
}

#[tokio::test]
async fn watches_end_with_the_server() {
    let world = World::new().await;
    let stop = world.api.stop.clone();
    let task = world.create("a", Value::Null).await;
    world.write(&task, "one");
    let watch = world.lines("tasks?watch=true", |lines| {
        if lines.len() == 1 {
            stop.cancel();
        }
        false
    });
    let log = world.lines("namespaces/lab/tasks/a/log?follow=true", |_| false);
    let (watched, logged) = tokio::join!(watch, log);
    assert_eq!((watched.len(), logged.len()), (1, 1));
}

#[tokio::test]
async fn lines_of_a_task_are_followed_to_its_end() {
    let world = World::new().await;
    let task = world.create("a", Value::Null).await;
    let path = "namespaces/lab/tasks/a/log";
    assert_eq!(world.get(path).await, (200, json!("")));
    world.write(&task, "one");
    let happen = async {
        world
            .lines(&format!("{path}?follow=true"), |lines| lines.len() == 1)
            .await;
        world.write(&task, "two");
        world.finish("a").await;
        // Proplets tell lines in batches, and results don't wait for them.
        world.write(&task, "three");
    };
    let follow = format!("{path}?follow=true");
    let (lines, ()) = tokio::join!(world.lines(&follow, |_| false), happen);
    let texts: Vec<_> = lines.iter().map(|line| line["line"].as_str().unwrap()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(
        (&lines[0]["attempt"], &lines[0]["stream"]),
        (&json!(1), &json!("stdout"))
    );
    let last = world.lines(&format!("{path}?tailLines=2"), |_| false).await;
    assert_eq!(last, lines[1..]);
    assert_eq!(world.get("namespaces/lab/tasks/z/log").await.0, 404);
}
