//! What the API says of itself.

use super::*;

/// Every reference leads somewhere, and what is described is what is served, but for the page's files.
#[tokio::test]
async fn the_description_is_whole() {
    let world = World::new().await;
    let (_, document) = world.get("/openapi.json").await;
    let text = document.to_string();
    let references = text
        .split("\"$ref\":\"#")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    let references: BTreeSet<_> = references.collect();
    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    let (mut described, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        let operations = item.as_object().unwrap().iter();
        for (method, operation) in operations.filter(|(method, _)| *method != "parameters") {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{path} {method}: {name}");
            let parameters = [&item["parameters"], &operation["parameters"]];
            let parameters = parameters.into_iter().filter_map(Value::as_array).flatten();
            let in_path = parameters.filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{path} {method}");
            described.insert((path.clone(), method.to_uppercase()));
        }
    }
    assert_eq!(described, served(&world).await);
}

/// Paths, with the methods that they have.
async fn served(world: &World) -> BTreeSet<(String, String)> {
    let mut served = BTreeSet::new();
    let routes = open().into_iter().chain(guarded());
    let paths = routes.flat_map(|(path, _)| Kind::ALL.map(|kind| path.replace("{plural}", kind.plural())));
    for path in paths.collect::<BTreeSet<_>>() {
        let there = path.replace("{namespace}", "lab").replace("{name}", "z");
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let (code, status) = world.ask(method.clone(), &there, Value::Null).await;
            if code != 405 && status["reason"] != "NoSuchPath" {
                served.insert((path.clone(), method.to_string()));
            }
        }
    }
    served
}

/// A file that is in the folder and not in the table would be missing from the page only in a browser.
#[tokio::test]
async fn the_page_is_whole() {
    let world = World::new().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let path = if name == "index.html" { String::new() } else { name };
        let response = world.client.get(format!("{}/{path}", world.url)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'self'"), "{policy}");
    }
}
