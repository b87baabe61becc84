//! A real browser: Debian's Chromium, without a window, driven over [WebDriver](https://www.w3.org/TR/webdriver2/) by its own chromedriver.

use std::{ops::Deref, time::Duration};

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use crate::{PATIENCE, Process, cargo, launch::Launch, port, scratch};

/// A browser with one page. It ends with this.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    // In this order: the driver ends the browser, and then its folder goes.
    _driver: Process,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// One with a window of that width, as of a phone or a desk.
    ///
    /// # Errors
    /// When Chromium isn't installed or doesn't start.
    pub async fn start(width: u32) -> Result<Self> {
        Self::with(width, Colors::Light).await
    }

    /// The same for somebody who prefers these colours.
    ///
    /// # Errors
    /// When Chromium isn't installed or doesn't start.
    pub async fn with(width: u32, colors: Colors) -> Result<Self> {
        let folder = scratch::folder("browser")?;
        let profile = folder.path().join("profile");
        let (port, driver) = port::with_free(async |port| {
            let launch = Launch::new("chromedriver", "chromedriver").arg(format!("--port={port}"));
            let mut driver = launch
                .env("HOME", folder.path())
                .start(folder.path())
                .context("no chromedriver; `make setup` installs it")?;
            let ready = |line: &str| line.contains("started successfully").then_some(());
            driver.wait_for_log("port", ready).await?;
            Ok((port, driver))
        })
        .await?;
        let options = json!({
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-quic",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                format!("--user-data-dir={}", profile.display()),
                format!("--blink-settings=preferredColorScheme={}", colors as u8),
            ],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": 800, "pixelRatio": 1.0, "mobile": width < 600}},
        });
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("no Chromium; `make setup` installs it")?;
        Ok(Self {
            client,
            _driver: driver,
            _folder: folder,
        })
    }

    /// What [axe](https://github.com/dequelabs/axe-core) finds wrong with the page as it is, for people who don't see it, or not well: a line for each
    /// rule of WCAG 2.2 (A and AA) or of good practice, with the elements that break it.
    ///
    /// # Errors
    /// When axe isn't installed, or can't run.
    pub async fn barriers(&self) -> Result<Vec<String>> {
        let axe = cargo::root().join("target/axe/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(axe).context("no axe-core; `make setup` installs it")?;
        self.execute(&axe, vec![]).await?;
        let run = "const done = arguments[0];
            axe.run().then(({violations}) => done(violations.map(({id, help, nodes}) =>
                `${id}: ${help}: ${nodes.map(({html}) => html).join(' ')}`)), (error) => done([String(error)]));";
        Ok(serde_json::from_value(self.execute_async(run, vec![]).await?)?)
    }

    /// Ends the browser in order.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn close_page(self) -> Result<()> {
        Ok(self.client.clone().close().await?)
    }

    /// The first element that fits, once there is one.
    ///
    /// # Errors
    /// When there is none.
    pub async fn see(&self, css: &str) -> Result<Element> {
        let waiting = self.client.wait().at_most(PATIENCE).every(Duration::from_millis(20));
        let found = waiting.for_element(Locator::Css(css)).await;
        let page = async || self.client.source().await.unwrap_or_default();
        match found {
            Ok(element) => Ok(element),
            Err(error) => Err(anyhow::Error::new(error).context(format!("nothing fits {css} in {}", page().await))),
        }
    }

    /// Waits until an element that fits says this.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn reads(&self, css: &str, text: &str) -> Result<()> {
        self.see(css).await?;
        crate::wait_for(&format!("{css} to say {text:?}"), PATIENCE, async || {
            // It may be made anew in between.
            let said = self.client.find(Locator::Css(css)).await?.text().await?;
            ensure!(said.contains(text), "it says {said:?}");
            Ok(())
        })
        .await
    }
}

/// What a person prefers, as Chromium numbers it.
#[derive(Debug, Clone, Copy)]
pub enum Colors {
    /// Light text.
    Dark = 0,
    /// Dark text.
    Light = 1,
}

/// What else a page can be asked.
impl Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
