//! Several resources in one answer.

use super::*;

#[tokio::test]
async fn lists_have_selections_and_pages() {
    let world = World::new().await;
    for (name, site) in [("a", "lab"), ("b", "roof"), ("c", "lab"), ("d", "lab")] {
        world.create(name, json!({"site": site})).await;
    }
    let check = async |path: &str, expected: &[&str]| {
        let (code, list) = world.get(path).await;
        assert_eq!((code, names(&list).as_slice()), (200, expected), "{path}");
        assert_eq!(list["metadata"]["resourceVersion"], "4");
        list
    };
    check("tasks", &["a", "b", "c", "d"]).await;
    check("namespaces/lab/tasks?labelSelector=site%3Dlab", &["a", "c", "d"]).await;
    check("namespaces/lab/tasks?labelSelector=site%20notin%20(lab)", &["b"]).await;
    check("tasks?fieldSelector=metadata.name%3Dc", &["c"]).await;
    check("namespaces/roof/tasks", &[]).await;
    check("proplets", &[]).await;
    let first = check("tasks?limit=2&labelSelector=site%3Dlab", &["a", "c"]).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    // Between the pages something happens, which a watch from there tells.
    world.create("e", json!({"site": "lab"})).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let last = check(
        &format!("tasks?limit=2&labelSelector=site%3Dlab&continue={token}"),
        &["d", "e"],
    )
    .await;
    assert_eq!(last["metadata"].get("continue"), None);
}

#[tokio::test]
async fn what_was_noticed_is_listed() {
    let world = World::new().await;
    let notice = |uid: &str, reason: &str, message: &str| Notice {
        about: About {
            kind: "Task",
            key: NamespacedName {
                namespace: "lab".into(),
                name: "a".into(),
            },
            uid: uid.into(),
        },
        severity: Severity::Warning,
        action: "Finish",
        reason: reason.into(),
        message: message.into(),
    };
    let events = &world.api.around.events;
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    events.take(notice("uid-1", "Trap", &"ö".repeat(1_000)), at(1));
    for (uid, second) in [("uid-2", 2), ("uid-1", 3), ("uid-2", 4)] {
        events.take(notice(uid, "Lost", "away"), at(second));
    }
    let path = "/api/v1/namespaces/lab/events?fieldSelector=involvedObject.name%3Da%2CinvolvedObject.uid%3D";
    let (code, list) = world.get(&format!("{path}uid-2")).await;
    assert_eq!((code, list["kind"].as_str()), (200, Some("EventList")));
    let items = list["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[0]["count"], &items[0]["lastTimestamp"]),
        (1, &json!(2), &json!(at(4)))
    );
    assert_eq!(items[0]["involvedObject"]["uid"], "uid-2");
    let (_, list) = world.get(&format!("{path}uid-1")).await;
    let reasons: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["reason"])
        .collect();
    assert_eq!(reasons, ["Trap", "Lost"]);
    assert_eq!(list["items"][0]["message"].as_str().unwrap().len(), 1_024);
    assert_eq!(world.get("/api/v1/namespaces/field/events").await.1["items"], json!([]));
    let (code, refused) = world
        .get("/api/v1/namespaces/lab/events?fieldSelector=type%3DNormal")
        .await;
    assert_eq!(code, 400, "{refused}");
}
