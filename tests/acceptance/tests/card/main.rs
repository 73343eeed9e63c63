//! What people see, in a headless Chromium: every state, provoked through the database, the simulated
//! world or the network. Pictures of each go to `target/screenshots`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test that meets what it did not expect has failed"
)]

mod certificate;
mod embedding;
mod files;
mod manners;
mod states;

use std::sync::OnceLock;

use acceptance::card::{Axe, Browser, Chromium, Look, Scene};
use acceptance::skipped;
use stage::{Builder, SERVICE_KEY, Stage};

/// A browser that looks at a scene. They are one value so that both end together.
pub struct Visit {
    /// What is looked at.
    pub scene: Scene,
    /// Who looks.
    pub browser: Browser,
    _chromium: Chromium,
}

impl Visit {
    /// Opens the page at `/` with the service key. `None` where there is no browser; that is said.
    pub async fn to(test: &str, scene: Scene) -> Option<Self> {
        let url = format!("{}/#token={SERVICE_KEY}", scene.stage.url());
        Self::at(test, scene, &url).await
    }

    /// Opens the page of an app that moves files, with 751 of 18,323 behind it.
    pub async fn while_files_move(test: &str) -> Option<Self> {
        let scene = Box::pin(Scene::scheduled(stage())).await.unwrap();
        scene.files(751, 17_572).await.unwrap();
        scene.batches(5, 92).await.unwrap();
        let visit = Box::pin(Self::to(test, scene)).await?;
        visit.badge("Running").await;
        Some(visit)
    }

    /// Opens a page. `None` where there is no browser; that is said.
    pub async fn at(test: &str, scene: Scene, url: &str) -> Option<Self> {
        let Some(chromium) = Chromium::start().await.unwrap() else {
            skipped(
                test,
                "there is no chromium with its chromedriver on the PATH",
            );
            return None;
        };
        let browser = chromium.open().await.unwrap();
        browser.look(LIGHT).await.unwrap();
        browser.go(url).await.unwrap();
        Some(Self {
            scene,
            browser,
            _chromium: chromium,
        })
    }

    /// Waits for the badge, after asking for the newest status.
    pub async fn badge(&self, words: &str) {
        self.browser.until("card.refresh").await.unwrap();
        self.browser.run("await card.refresh()").await.unwrap();
        self.browser
            .until(&format!("$('state').textContent === '{words}'"))
            .await
            .unwrap();
    }

    /// A text of the card, by the id of its place.
    pub async fn says(&self, id: &str) -> String {
        self.browser
            .text(&format!("$('{id}').textContent"))
            .await
            .unwrap()
    }

    /// Takes its pictures, and lets axe look at it in light and in dark.
    pub async fn portrait(&self, name: &str) {
        for look in [LIGHT, DARK, NARROW] {
            self.browser.screenshot(name, look).await.unwrap();
            if let Ok(axe) = axe() {
                let violations = axe.violations(&self.browser).await.unwrap();
                assert_eq!(violations, Vec::<String>::new(), "{name}, {look:?}");
                let wider =
                    "document.documentElement.scrollWidth > document.documentElement.clientWidth";
                assert_eq!(
                    self.browser.text(wider).await.unwrap(),
                    "false",
                    "{name} runs over, {look:?}"
                );
            }
        }
        self.browser.look(LIGHT).await.unwrap();
    }
}

/// A usual width.
pub const LIGHT: Look = Look {
    dark: false,
    width: 560,
};
/// At night, and wide.
pub const DARK: Look = Look {
    dark: true,
    width: 1000,
};
/// The narrowest phone.
pub const NARROW: Look = Look {
    dark: false,
    width: 320,
};

/// axe-core, or why it could not be had, which is said once.
fn axe() -> Result<&'static Axe, ()> {
    static AXE: OnceLock<Option<Axe>> = OnceLock::new();
    let fetched = AXE.get_or_init(|| match Axe::fetch() {
        Ok(axe) => Some(axe),
        Err(why) => {
            skipped("accessibility by axe-core", &why);
            None
        }
    });
    fetched.as_ref().ok_or(())
}

/// A stage for looking.
pub fn stage() -> Builder {
    Stage::builder()
}
