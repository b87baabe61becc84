//! What is read of a registry: each answer up to a bound, whoever wrote it.
//!
//! A Task names the registry, and the registry names whoever gives tokens for it, so any of them may send without an end. oci-client takes manifests,
//! tokens and errors whole, and is only used to publish, which goes to a registry that a person chose.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use http_auth::ChallengeParser;
use oci_client::{
    errors::{OciDistributionError as Oci, OciEnvelope},
    secrets::RegistryAuth,
};
use reqwest::Response;
use serde::Deserialize;

/// Of tokens, and of what is said instead of what was asked for.
const MAX_WORDS: usize = 64 * 1024;

/// Reads from one host. Clones share its tokens.
#[derive(Clone)]
pub(crate) struct Getter {
    http: reqwest::Client,
    scheme: &'static str,
    /// By repository: none gives access to another.
    tokens: Arc<Mutex<HashMap<String, HeaderValue>>>,
}

/// What is asked for, and by whom.
pub(crate) struct Ask<'a> {
    pub(crate) reference: &'a oci_client::Reference,
    /// Below the repository: `manifests/1.0`.
    pub(crate) path: String,
    /// Media types, where there are several.
    pub(crate) accept: &'static str,
    pub(crate) auth: &'a RegistryAuth,
}

/// Where tokens are given.
struct Challenge {
    realm: String,
    service: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl Getter {
    pub(crate) fn new(http: reqwest::Client, scheme: &'static str) -> Self {
        Self {
            http,
            scheme,
            tokens: Arc::default(),
        }
    }

    /// The answer of which the head has come, and says that what was asked for follows.
    pub(crate) async fn get(&self, ask: &Ask<'_>) -> Result<Response, Oci> {
        let known = self.tokens().get(ask.reference.repository()).cloned();
        let answer = self.send(ask, known).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return good(answer).await;
        }
        match self.authorization(ask, &answer).await? {
            Some(authorization) => good(self.send(ask, Some(authorization)).await?).await,
            None => good(answer).await,
        }
    }

    async fn send(&self, ask: &Ask<'_>, authorization: Option<HeaderValue>) -> Result<Response, Oci> {
        let (host, repository) = (ask.reference.resolve_registry(), ask.reference.repository());
        let url = format!("{}://{host}/v2/{repository}/{}", self.scheme, ask.path);
        let mut request = self.http.get(url).header(header::ACCEPT, ask.accept);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(request.send().await?)
    }

    /// What a refusal asks for. A token is kept until it's refused.
    async fn authorization(&self, ask: &Ask<'_>, refusal: &Response) -> Result<Option<HeaderValue>, Oci> {
        let Some(challenge) = refusal
            .headers()
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .find_map(challenge)
        else {
            return Ok(basic(ask.auth));
        };
        let token = match ask.auth {
            RegistryAuth::Bearer(token) => token.clone(),
            _ => self.token(ask, challenge).await?,
        };
        let authorization = secret(format!("Bearer {token}"));
        if let Some(authorization) = &authorization {
            self.tokens()
                .insert(ask.reference.repository().to_owned(), authorization.clone());
        }
        Ok(authorization)
    }

    async fn token(&self, ask: &Ask<'_>, challenge: Challenge) -> Result<String, Oci> {
        let scope = format!("repository:{}:pull", ask.reference.repository());
        let service = challenge.service.iter().map(|service| ("service", service));
        let query: Vec<_> = service.chain([("scope", &scope)]).collect();
        let mut request = self.http.get(challenge.realm).query(&query);
        if let RegistryAuth::Basic(user, password) = ask.auth {
            request = request.basic_auth(user, Some(password));
        }
        let mut answer = request.send().await?;
        let is_good = answer.status() == StatusCode::OK;
        let words = start(&mut answer, MAX_WORDS).await?;
        if !is_good {
            return Err(Oci::AuthenticationFailure(String::from_utf8_lossy(&words).into_owned()));
        }
        let token: Result<Token, _> = serde_json::from_slice(&words);
        // What was given isn't shown: it may be a token after all.
        token
            .map(|token| token.token)
            .map_err(|error| Oci::RegistryTokenDecodeError(error.to_string()))
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, HeaderValue>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole body, or nothing if it is larger than it may be.
pub(crate) async fn body(answer: &mut Response, limit: usize) -> Result<Option<Bytes>, Oci> {
    let bytes = start(answer, limit.saturating_add(1)).await?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// At most so many bytes of the body. The connection is closed before the rest comes.
async fn start(answer: &mut Response, most: usize) -> Result<Bytes, Oci> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = most - bytes.len();
        if chunk.len() >= room {
            bytes.extend_from_slice(&chunk[..room]);
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// As oci-client tells errors, so that they are understood in one place.
async fn good(mut answer: Response) -> Result<Response, Oci> {
    let (status, url) = (answer.status(), answer.url().to_string());
    if status == StatusCode::OK {
        return Ok(answer);
    }
    if status == StatusCode::UNAUTHORIZED {
        return Err(Oci::UnauthorizedError { url });
    }
    let words = start(&mut answer, MAX_WORDS).await?;
    Err(match serde_json::from_slice::<OciEnvelope>(&words) {
        Ok(envelope) if status.is_client_error() => Oci::RegistryError { envelope, url },
        _ => Oci::ServerError {
            code: status.as_u16(),
            url,
            message: String::from_utf8_lossy(&words).into_owned(),
        },
    })
}

fn challenge(header: &HeaderValue) -> Option<Challenge> {
    let challenges = ChallengeParser::new(header.to_str().ok()?).filter_map(Result::ok);
    let bearer = challenges
        .into_iter()
        .find(|one| one.scheme.eq_ignore_ascii_case("Bearer"))?;
    let param = |name: &str| {
        let found = bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    Some(Challenge {
        realm: param("realm")?,
        service: param("service"),
    })
}

fn basic(auth: &RegistryAuth) -> Option<HeaderValue> {
    let RegistryAuth::Basic(user, password) = auth else {
        return None;
    };
    secret(format!("Basic {}", BASE64.encode(format!("{user}:{password}"))))
}

/// A header that no log shows.
fn secret(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
