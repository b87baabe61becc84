//! Who gets in.

use super::*;

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let world = World::new().await;
    for path in ["/apis/propeller.dev/v1alpha1/tasks", "/openapi.json", "/metrics"] {
        for token in [None, Some("let-me-i"), Some("let-me-inn"), Some("")] {
            let request = world.client.get(format!("{}{path}", world.url));
            let request = token
                .into_iter()
                .fold(request, |request, token| request.bearer_auth(token));
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer", "{path}");
            let (code, status) = answer(response).await;
            assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")), "{path}");
        }
        assert_eq!(world.get(path).await.0, 200, "{path}");
    }
    for (header, code, words) in [
        ("bearer let-me-in", 200, ""),
        ("BEARER  let-me-in", 200, ""),
        ("Bearerlet-me-in", 401, "Authorization: Bearer"),
        ("Basic let-me-in", 401, "Authorization: Bearer"),
        ("Bearer", 401, "Authorization: Bearer"),
        ("Bearer Let-me-in", 401, "isn't this control plane's token"),
    ] {
        let request = world.client.get(world.address("tasks")).header("authorization", header);
        let (found, status) = answer(request.send().await.unwrap()).await;
        assert_eq!(found, code, "{header}: {status}");
        assert!(
            code == 200 || status["message"].as_str().unwrap().contains(words),
            "{header}: {status}"
        );
    }
    for path in ["/healthz", "/readyz", "/version"] {
        let response = world.client.get(format!("{}{path}", world.url)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    world.api.around.health.set_leader(true);
    assert_eq!(world.get("/readyz").await.0, 503);
}
