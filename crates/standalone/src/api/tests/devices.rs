//! Whose device a proplet is, and when its credentials end.

use super::*;

fn proplet(name: &str, client_id: &str) -> Value {
    json!({
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Proplet",
        "metadata": {"name": name},
        "spec": {"connectionConfig": {"clientId": client_id}},
    })
}

/// Credentials aren't in the store, so a deletion that is refused there could have taken them away.
#[tokio::test]
async fn a_refused_deletion_lets_the_device_in_as_before() {
    let door = Arc::new(Door::default());
    let world = World::with(Some(door.clone())).await;
    let path = "namespaces/lab/proplets/edge-1";
    let (code, _) = world.ask(Method::POST, &format!("{path}/join"), Value::Null).await;
    assert_eq!(code, 201);
    let (_, made) = world.get(path).await;
    for (wish, expected) in [
        (json!({"preconditions": {"uid": "another"}}), 409),
        (json!({"preconditions": {"resourceVersion": "99"}}), 409),
        (json!({"dryRun": ["All"]}), 200),
        (json!({"dryRun": ["Some"]}), 400),
    ] {
        let (code, status) = world.ask(Method::DELETE, path, wish.clone()).await;
        assert_eq!(code, expected, "{wish}: {status}");
        assert!(door.has("edge-1"), "{wish}");
        assert_eq!(world.get(path).await.1, made, "{wish}");
    }
    let metadata = &made["metadata"];
    let right = json!({"preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}});
    assert_eq!(world.ask(Method::DELETE, path, right.clone()).await.0, 200);
    assert_eq!((door.has("edge-1"), world.get(path).await.0), (false, 404));
    // Credentials without a Proplet are taken away, unless a certain Proplet is meant.
    door.add("edge-1");
    assert_eq!(world.ask(Method::DELETE, path, right).await.0, 404);
    assert!(door.has("edge-1"));
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 200);
    assert!(!door.has("edge-1"));
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_device_is_one_proplets() {
    let door = Arc::new(Door::default());
    let world = World::with(Some(door.clone())).await;
    let make = async |namespace: &str, name: &str, client_id: &str| {
        let path = format!("namespaces/{namespace}/proplets");
        let (code, made) = world.ask(Method::POST, &path, proplet(name, client_id)).await;
        assert_eq!(code, 201, "{made}");
    };
    let join = async |namespace: &str, name: &str, expected: u16, words: &str| {
        let path = format!("namespaces/{namespace}/proplets/{name}/join");
        let (code, told) = world.ask(Method::POST, &path, json!({"replace": true})).await;
        assert_eq!(code, expected, "{path}: {told}");
        assert!(told.to_string().contains(words), "{path}: {told}");
        told
    };
    let remove = async |path: &str| {
        let (code, told) = world.ask(Method::DELETE, path, Value::Null).await;
        assert_eq!(code, 200, "{path}: {told}");
    };
    make("lab", "roof", "roof-device").await;
    let refused = join("lab", "roof", 409, "`roof-device`").await;
    assert_eq!(refused["reason"], "AlreadyExists");
    join("lab", "roof-device", 409, "lab/roof").await;
    assert!(!door.has("roof") && !door.has("roof-device"));

    join("lab", "edge-5", 201, "").await;
    join("default", "edge-5", 409, "lab/edge-5").await;
    assert_eq!(world.get("namespaces/default/proplets/edge-5").await.0, 404);
    join("lab", "edge-5", 201, "").await;

    // What is so already: each device gets in for as long as one Proplet is for it, and no longer.
    make("default", "edge-5", "edge-5").await;
    remove("namespaces/default/proplets/edge-5").await;
    assert!(door.has("edge-5"));
    door.add("roof");
    door.add("roof-device");
    remove("namespaces/lab/proplets/roof").await;
    assert!(!door.has("roof") && !door.has("roof-device"));
    remove("namespaces/lab/proplets/edge-5").await;
    assert!(!door.has("edge-5"));
}
