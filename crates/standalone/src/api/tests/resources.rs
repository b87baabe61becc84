//! One resource at a time, and what is wrong with a request.

use super::*;

#[tokio::test]
async fn a_resource_is_made_read_changed_and_deleted() {
    let world = World::new().await;
    let made = world.create("a", json!({"site": "lab"})).await;
    let metadata = &made["metadata"];
    assert_eq!(
        (&metadata["namespace"], &metadata["generation"]),
        (&json!("lab"), &json!(1))
    );
    assert_eq!(metadata["annotations"]["note"], "kept");
    assert_eq!(world.get("namespaces/lab/tasks/a").await, (200, made.clone()));

    let mut other = made.clone();
    other["spec"]["priority"] = json!(7);
    let (code, replaced) = world.ask(Method::PUT, "namespaces/lab/tasks/a", other.clone()).await;
    assert_eq!((code, &replaced["metadata"]["generation"]), (200, &json!(2)));
    let (code, status) = world.ask(Method::PUT, "namespaces/lab/tasks/a", other).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));

    other_without_version(&world, &made).await;

    let patch = json!({"spec": {"priority": null, "suspend": true}, "metadata": {"labels": {"site": null, "x": "y"}}});
    let (code, patched) = world.ask(Method::PATCH, "namespaces/lab/tasks/a", patch).await;
    assert_eq!((code, &patched["spec"]["suspend"]), (200, &json!(true)));
    assert_eq!(patched["metadata"]["labels"], json!({"x": "y"}));
    assert_eq!(patched["spec"].get("priority"), None);
    let text = world.request(Method::PATCH, "namespaces/lab/tasks/a").body("{}");
    assert_eq!(answer(text.send().await.unwrap()).await.0, 415);

    let wrong = json!({"preconditions": {"uid": "another"}});
    let (code, status) = world.ask(Method::DELETE, "namespaces/lab/tasks/a", wrong).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let right = json!({"preconditions": {"uid": metadata["uid"]}});
    let (code, status) = world.ask(Method::DELETE, "namespaces/lab/tasks/a", right).await;
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    for method in [Method::GET, Method::DELETE] {
        let (code, status) = world.ask(method, "namespaces/lab/tasks/a", Value::Null).await;
        assert_eq!((code, &status["details"]["name"]), (404, &json!("a")));
    }
}

/// It would undo what others changed meanwhile.
async fn other_without_version(world: &World, made: &Value) {
    for version in [Value::Null, json!("")] {
        let mut other = made.clone();
        other["metadata"]["resourceVersion"] = version;
        let (code, status) = world.ask(Method::PUT, "namespaces/lab/tasks/a", other).await;
        assert_eq!((code, &status["reason"]), (422, &json!("Invalid")), "{status}");
    }
    // What isn't done dry isn't done.
    for method in [Method::PUT, Method::PATCH] {
        let path = "namespaces/lab/tasks/a?dryRun=All";
        let (code, status) = world.ask(method.clone(), path, made.clone()).await;
        assert_eq!(code, 400, "{method}: {status}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let world = World::new().await;
    world.create("a", Value::Null).await;
    let check = async |body: Value, code: u16, reason: &str, words: &str| {
        let (found, status) = world.ask(Method::POST, "namespaces/lab/tasks", body).await;
        assert_eq!((found, status["reason"].as_str()), (code, Some(reason)), "{status}");
        assert!(status["message"].as_str().unwrap().contains(words), "{status}");
    };
    let with = |pointer: &str, value: Value| {
        let mut task = task("b");
        *task.pointer_mut(pointer).unwrap() = value;
        task
    };
    check(task("a"), 409, "AlreadyExists", "\"a\" already exists").await;
    check(
        with("/spec/image", json!("")),
        422,
        "Invalid",
        "spec.image: has 0 characters",
    )
    .await;
    check(
        with("/spec/call", json!({"function": 7})),
        422,
        "Invalid",
        "spec.call.function: invalid type",
    )
    .await;
    check(
        with("/spec", json!({"imag": "x"})),
        422,
        "Invalid",
        "unknown field `imag`",
    )
    .await;
    check(with("/metadata/name", json!("B")), 422, "Invalid", "metadata.name").await;
    check(with("/kind", json!("Proplet")), 422, "Invalid", "kind is `Proplet`").await;
    check(
        with("/metadata", json!({"name": "b", "namespace": "roof"})),
        400,
        "BadRequest",
        "the path says lab",
    )
    .await;
    check(json!({"a": 1}), 400, "BadRequest", "no metadata").await;
    check(
        json!({"a": "x".repeat(1 << 20)}),
        413,
        "RequestEntityTooLarge",
        "1048576 bytes",
    )
    .await;
    let text = world.request(Method::POST, "namespaces/lab/tasks").body("{");
    let (code, status) = answer(text.send().await.unwrap()).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));

    for (path, code, reason) in [
        ("pods", 404, "NoSuchPath"),
        ("/elsewhere", 404, "NoSuchPath"),
        ("namespaces/lab/tasks/a/status", 404, "NoSuchPath"),
        ("namespaces/lab/tasks/b", 404, "NotFound"),
        ("namespaces/lab/tasks?limit=x", 400, "BadRequest"),
        ("tasks?labelSelector=a%20b", 400, "BadRequest"),
        ("tasks?fieldSelector=status.phase=Completed", 400, "BadRequest"),
        ("tasks?continue=x", 400, "BadRequest"),
        ("tasks?watch=true&resourceVersion=x", 400, "BadRequest"),
        ("components", 400, "BadRequest"),
        ("components?image=a%20b", 400, "BadRequest"),
        ("components?image=lab/none:1", 404, "NotFound"),
        ("components?image=lab/sub:1", 502, "ComponentUnavailable"),
    ] {
        let (found, status) = world.get(path).await;
        let told = (found, status["kind"].as_str(), status["reason"].as_str());
        assert_eq!(told, (code, Some("Status"), Some(reason)), "{path}: {status}");
    }
    assert_eq!(
        world.ask(Method::POST, "namespaces/lab/tasks/a", task("a")).await.0,
        405
    );
    assert_eq!(
        world.get("components?image=lab/add:1").await,
        (200, json!({"component": "sha256:1"}))
    );
}

#[tokio::test]
async fn a_name_is_found_for_what_has_a_beginning_of_one() {
    let world = World::new().await;
    let mut task = task("");
    task["metadata"] = json!({"generateName": "add-"});
    let mut made = Vec::new();
    for _ in 0..2 {
        let (code, task) = world.ask(Method::POST, "namespaces/lab/tasks", task.clone()).await;
        assert_eq!(code, 201, "{task}");
        made.push(task["metadata"]["name"].as_str().unwrap().to_owned());
    }
    assert!(
        made.iter().all(|name| name.starts_with("add-") && name.len() == 9) && made[0] != made[1],
        "{made:?}"
    );
    let (code, _) = world
        .ask(Method::POST, "namespaces/lab/tasks?dryRun=All", self::task("dry"))
        .await;
    assert_eq!((code, world.get("namespaces/lab/tasks/dry").await.0), (201, 404));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let world = World::new().await;
    let made = world.create("a", Value::Null).await;
    let path = "namespaces/lab/tasks/a";
    let all = json!({"dryRun": ["All"]});
    for (query, body) in [
        ("?dryRun=All", Value::Null),
        ("", all.clone()),
        ("?dryRun=All", all.clone()),
    ] {
        let (code, status) = world.ask(Method::DELETE, &format!("{path}{query}"), body).await;
        assert_eq!((code, &status["status"]), (200, &json!("Success")), "{status}");
        assert_eq!(status["details"]["uid"], made["metadata"]["uid"]);
    }
    let other = json!({"dryRun": ["All"], "preconditions": {"uid": "another"}});
    assert_eq!(world.ask(Method::DELETE, path, other).await.0, 409);
    let missing = world.ask(Method::DELETE, "namespaces/lab/tasks/b", all).await;
    assert_eq!(missing.0, 404);
    for (method, path, body) in [
        (Method::POST, "namespaces/lab/tasks?dryRun=Some", task("b")),
        (Method::POST, "namespaces/lab/tasks?dryRun=", task("b")),
        (Method::DELETE, "namespaces/lab/tasks/a?dryRun=Some", Value::Null),
        (Method::DELETE, path, json!({"dryRun": ["All", "Some"]})),
        (Method::POST, "namespaces/lab/proplets/b/join?dryRun=All", Value::Null),
    ] {
        let (code, status) = world.ask(method.clone(), path, body).await;
        assert_eq!(code, 400, "{method} {path}: {status}");
        assert!(status["message"].as_str().unwrap().contains("dryRun"), "{status}");
    }
    let (_, list) = world.get("namespaces/lab/tasks").await;
    assert_eq!(names(&list), ["a"]);
}
