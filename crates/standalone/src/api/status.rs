//! What the API says when it doesn't do what was asked: Kubernetes'
//! [Status](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/), with its reasons and codes.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use propeller_api::GROUP;
use propeller_control::http::failure;
use serde_json::{Value, json};

use crate::store::{Forgotten, Kind, Refusal};

/// Why a request wasn't fulfilled.
#[derive(Debug)]
pub struct Status {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Status {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    /// The request can't be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// Nobody knows who asks: without a token, or with another one.
    pub fn unauthorized(has_token: bool) -> Self {
        let message = match has_token {
            true => "that isn't this control plane's token, which is in `token` in its state directory",
            false => "send the token as `Authorization: Bearer TOKEN`",
        };
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// There is nothing at that path. To clients `NotFound` is about a resource, which they may make then.
    pub fn no_path(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchPath",
            format!("there is nothing at {path}"),
        )
    }

    /// What was named, and isn't a resource, isn't there.
    pub fn absent(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// The path is there, and the method isn't for it.
    pub fn no_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "this method isn't for that path",
        )
    }

    /// There is no such resource.
    pub fn missing(kind: Kind, name: &str) -> Self {
        let message = format!("{}.{GROUP} \"{name}\" not found", kind.plural());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    /// The body can't be taken.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// The body is larger than is taken.
    pub fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("the request has more than {most} bytes"),
        )
    }

    /// The resource breaks a rule.
    pub fn invalid(kind: Kind, name: &str, problem: impl std::fmt::Display) -> Self {
        let message = format!("{} \"{name}\" is invalid: {problem}", kind.name());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(kind, name)
    }

    /// What this process didn't do.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// What somebody else didn't do.
    pub fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, reason, message)
    }

    /// There is a resource already, or what belongs to it.
    pub fn exists(kind: Kind, name: &str, what: &str) -> Self {
        let message = format!("{}.{GROUP} \"{name}\" {what}", kind.plural());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    /// What the store says about that resource.
    pub fn refused(kind: Kind, name: &str, refusal: &Refusal) -> Self {
        let of = |code, reason, what: &str| {
            let message = format!("{}.{GROUP} \"{name}\" {what}", kind.plural());
            Self::new(code, reason, message).about(kind, name)
        };
        match refusal {
            Refusal::Exists => of(StatusCode::CONFLICT, "AlreadyExists", "already exists"),
            Refusal::Missing => Self::missing(kind, name),
            Refusal::Conflict => of(
                StatusCode::CONFLICT,
                "Conflict",
                "was changed or replaced meanwhile: read it again, and change that",
            ),
            Refusal::Invalid(invalid) => Self::invalid(kind, name, invalid),
            Refusal::Failed(_) => of(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                "can't be written: the log of the control plane says why",
            ),
            Refusal::Stopping => of(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "can't be written: the control plane is stopping",
            ),
        }
    }

    fn about(mut self, kind: Kind, name: &str) -> Self {
        self.details = json!({"name": name, "group": GROUP, "kind": kind.plural()});
        self
    }

    /// The document.
    pub fn json(&self) -> Value {
        failure(self.code, self.reason, &self.message, &self.details)
    }
}

impl From<Forgotten> for Status {
    fn from(forgotten: Forgotten) -> Self {
        Self::new(StatusCode::GONE, "Expired", forgotten.to_string())
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let mut response = (self.code, Json(self.json())).into_response();
        if self.code == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
