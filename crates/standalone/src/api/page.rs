//! The web page's files, which are in the program.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// Nothing from elsewhere, nothing inline, and in nobody's frame.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Path, media type, bytes.
type File = (&'static str, &'static str, &'static [u8]);

macro_rules! module {
    ($name:literal) => {
        (
            concat!("/", $name),
            "text/javascript",
            include_bytes!(concat!("../../web/", $name)),
        )
    };
}

const FILES: [File; 16] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../web/index.html")),
    ("/app.css", "text/css", include_bytes!("../../web/app.css")),
    ("/icon.svg", "image/svg+xml", include_bytes!("../../web/icon.svg")),
    module!("api.js"),
    module!("app.js"),
    module!("components.js"),
    module!("dom.js"),
    module!("form.js"),
    module!("format.js"),
    module!("log.js"),
    module!("proplets.js"),
    module!("store.js"),
    module!("table.js"),
    module!("task.js"),
    module!("tasks.js"),
    module!("words.js"),
];

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (path, type_, bytes)| {
        router.route(path, get(async move || file(type_, bytes)))
    })
}

fn file(type_: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, type_),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))),
        bytes,
    )
        .into_response()
}
