//! The web page in a real browser, served by a real `propeller up`.

use anyhow::{Context, Result, ensure};
use fantoccini::key::Key;
use propeller_tests::{Browser, Colors};
use serde_json::json;

use crate::up::Home;

/// A desk's, and a phone's.
const WIDE: u32 = 1280;
const NARROW: u32 = 360;

async fn open(home: &Home, browser: &Browser, route: &str) -> Result<()> {
    let (url, token) = (home.up.url(), home.up.token()?);
    browser.goto(&format!("{url}/#token={token}")).await?;
    browser.see("#connection[data-state=live]").await?;
    browser.goto(&format!("{url}/{route}")).await?;
    Ok(())
}

#[tokio::test]
async fn a_form_made_of_the_types_calls_a_component() -> Result<()> {
    let home = Home::new().await?;
    let image = home.push("addition").await?;
    let browser = Browser::start(WIDE).await?;
    open(&home, &browser, "#/components").await?;
    let address = browser.current_url().await?;
    ensure!(
        !address.as_str().contains(&home.up.token()?),
        "the token is in the history: {address}"
    );

    browser.see("#image").await?.send_keys(&image).await?;
    browser.see("[data-test=inspect]").await?.click().await?;
    // The only function is open by itself.
    let function = "details[open][data-function$='#add']";
    for (parameter, value) in [("a", "20"), ("b", "22")] {
        let input = browser
            .see(&format!("{function} [data-name={parameter}] input"))
            .await?;
        input.clear().await?;
        input.send_keys(value).await?;
    }
    browser
        .see(&format!("{function} [data-test=run]"))
        .await?
        .click()
        .await?;
    browser.reads("[data-test=lead]", "Completed").await?;
    browser.reads("[data-test=result]", "42").await?;
    browser.close_page().await
}

#[tokio::test]
async fn a_task_is_seen_as_it_goes() -> Result<()> {
    let home = Home::new().await?;
    let browser = Browser::start(WIDE).await?;
    open(&home, &browser, "#/tasks").await?;
    let image = home.push("print-lines").await?;
    // What others make comes by itself.
    home.create("<b>", json!({"image": image, "command": {}}))
        .await
        .expect_err("no name");
    home.create("print", json!({"image": image, "command": {}, "suspend": true}))
        .await?;
    browser.reads("tr[data-key='default/print']", "Pending").await?;
    browser.see("tr[data-key='default/print'] a").await?.click().await?;
    browser.reads("main h1", "print").await?;
    home.types(&["cordon", "local"]).await?;
    let tasks: kube::Api<propeller_crd::Task> = kube::Api::namespaced(home.up.client()?, "default");
    let resume = kube::api::Patch::Merge(json!({"spec": {"suspend": false}}));
    tasks.patch("print", &Default::default(), &resume).await?;
    browser.reads("[data-test=lead]", "cordoned").await?;
    home.types(&["uncordon", "local"]).await?;
    browser.reads("[data-test=lead]", "Completed").await?;
    browser.reads("[data-test=log]", "error with two parts").await?;

    browser.see("[data-test=delete]").await?.click().await?;
    browser.see("[data-test=confirm-yes]").await?.click().await?;
    browser.reads("[data-test=summary]", "0 tasks").await?;
    browser.close_page().await
}

#[tokio::test]
async fn a_phone_shows_all_of_it_and_keys_reach_it() -> Result<()> {
    let home = Home::new().await?;
    let image = home.push("addition").await?;
    let long = "x".repeat(200);
    home.create(
        &long,
        json!({"image": image, "call": {"function": "add", "args": [20, 22]}}),
    )
    .await?;
    home.finished(&long).await?;
    let browser = Browser::start(NARROW).await?;
    for (route, landmark) in [
        ("#/tasks", "[data-test=tasks]".to_owned()),
        (&format!("#/tasks/default/{long}"), "[data-test=result]".to_owned()),
        ("#/proplets", "[data-test=proplets]".to_owned()),
        (
            &format!("#/components?image={image}"),
            "[data-test=component]".to_owned(),
        ),
    ] {
        open(&home, &browser, route).await?;
        browser.see(&landmark).await?;
        let width = browser
            .execute("return document.documentElement.scrollWidth", vec![])
            .await?;
        ensure!(
            width.as_u64().is_some_and(|width| width <= u64::from(NARROW)),
            "{route} is {width} wide"
        );
    }
    // There is a way past the navigation, and it leads to the content.
    open(&home, &browser, "#/tasks").await?;
    browser.see("[data-test=tasks]").await?;
    let skip = browser.see("#skip").await?;
    skip.send_keys(&Key::Enter.to_string()).await?;
    assert_eq!(
        browser.active_element().await?.attr("id").await?.as_deref(),
        Some("main")
    );
    browser.close_page().await
}

/// By the rules that programs can check, on a phone and at a desk, in either colours.
#[tokio::test]
async fn nothing_keeps_people_from_using_it() -> Result<()> {
    let home = Home::new().await?;
    let (addition, lines) = (home.push("addition").await?, home.push("print-lines").await?);
    home.create("print", json!({"image": lines, "command": {}})).await?;
    home.finished("print").await?;
    home.create(
        "fails",
        json!({"image": addition, "call": {"function": "add", "args": ["a"]}}),
    )
    .await?;
    home.finished("fails").await?;
    for (width, colors) in [(WIDE, Colors::Light), (NARROW, Colors::Dark)] {
        let browser = Browser::with(width, colors).await?;
        let check = async |what: &str| {
            let barriers = browser.barriers().await?;
            ensure!(barriers.is_empty(), "{what}, {colors:?}: {barriers:#?}");
            Ok(())
        };
        browser.goto(&home.up.url()).await?;
        browser.see("#token").await?;
        check("the question for the token").await?;
        for (route, landmark) in [
            ("#/tasks", "[data-test=tasks]"),
            ("#/tasks/default/print", "[data-test=log]"),
            ("#/tasks/default/fails", "[data-test=lead]"),
            ("#/proplets", "[data-test=proplets]"),
            (&format!("#/components?image={addition}"), "[data-test=component]"),
        ] {
            open(&home, &browser, route).await?;
            browser.see(landmark).await?;
            check(route).await?;
        }
        let dark = browser
            .execute("return matchMedia('(prefers-color-scheme: dark)').matches", vec![])
            .await?;
        assert_eq!(dark, matches!(colors, Colors::Dark));
        browser.close_page().await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_does_not_know_the_token_is_asked_for_it() -> Result<()> {
    let home = Home::new().await?;
    let browser = Browser::start(WIDE).await?;
    browser.goto(&format!("{}/#token=wrong", home.up.url())).await?;
    let input = browser.see("#token").await.context("no form")?;
    input.send_keys(&home.up.token()?).await?;
    input.send_keys(&Key::Enter.to_string()).await?;
    browser.see("#connection[data-state=live]").await?;
    browser.close_page().await
}
