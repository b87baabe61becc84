//! Where the control plane is, and who asks: flags first, then the environment, then what `propeller up` left behind.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use http::Uri;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{ControlError, error::Place};
use crate::{
    args::ServerArgs,
    failure::Failure,
    settings::{Environment, read_file},
};

/// What `propeller up` leaves in its state directory, readable by its user only.
#[derive(Deserialize)]
struct ServerFile {
    server: String,
    token: SecretString,
}

/// How to reach the control plane that is meant, and what to call it.
pub async fn find(args: &ServerArgs, environment: &Environment) -> Result<(Place, Config), Failure> {
    if args.kube {
        return Ok(cluster(args.context.clone()).await?);
    }
    if let Some(url) = args.server.clone().or_else(|| environment.server.clone()) {
        return Ok(standalone(&url, token(args, environment)?)?);
    }
    let path = environment.server_file().ok_or(ControlError::Nowhere)?;
    let file = read_server_file(&path)?;
    let token = token(args, environment)?.unwrap_or(file.token);
    Ok(standalone(&file.server, Some(token))?)
}

/// The kubeconfig is read as `kubectl` reads it. Where there is none, nothing of the pod that this may be is used: `--kube` says a person's.
async fn cluster(context: Option<String>) -> Result<(Place, Config), ControlError> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let kubeconfig = Kubeconfig::read().map_err(ControlError::Kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(ControlError::Kubeconfig)?;
    Ok((Place::Cluster(config.cluster_url.to_string()), config))
}

fn standalone(url: &str, token: Option<SecretString>) -> Result<(Place, Config), ControlError> {
    let mut config = Config::new(address(url)?);
    config.auth_info.token = token;
    Ok((Place::Standalone(url.trim_end_matches('/').to_owned()), config))
}

fn address(url: &str) -> Result<Uri, ControlError> {
    let invalid = |source| ControlError::InvalidUrl {
        url: url.to_owned(),
        source,
    };
    let uri: Uri = url.parse().map_err(|error| invalid(Some(error)))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(invalid(None)),
    }
}

fn token(args: &ServerArgs, environment: &Environment) -> Result<Option<SecretString>, Failure> {
    let token = match &args.token_file {
        Some(path) => Some(SecretString::from(String::from_utf8_lossy(&read_file(path)?).trim())),
        None => environment.token.clone(),
    };
    match &token {
        // It becomes a header, and an error about that would have the token in it.
        Some(token) if !is_a_header(token.expose_secret()) => Err(ControlError::InvalidToken(match args.token_file {
            Some(_) => "look into the file of `--token-file`",
            None => "look at PROPELLER_TOKEN",
        })
        .into()),
        _ => Ok(token),
    }
}

fn is_a_header(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read_server_file(path: &Path) -> Result<ServerFile, ControlError> {
    let unusable = |source: Box<dyn Error + Send + Sync>| ControlError::ServerFile {
        path: PathBuf::from(path),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| unusable(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ControlError::Nowhere),
        Err(error) => Err(unusable(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        let check = |url: &str, fine: bool| assert_eq!(address(url).is_ok(), fine, "{url}");
        check("http://127.0.0.1:8080", true);
        check("https://propeller.example/base", true);
        for url in ["", "127.0.0.1:8080", "/run/socket", "ftp://a", "http://"] {
            check(url, false);
        }
    }

    #[tokio::test]
    async fn flags_count_more_than_the_environment_and_that_more_than_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("propeller");
        fs::create_dir(&state).unwrap();
        let token_file = folder.path().join("token");
        fs::write(&token_file, "of-flag\n").unwrap();
        let check = async |server: Option<&str>,
                           with_file: bool,
                           variable: Option<&str>,
                           token: Option<&str>,
                           expected: Result<(&str, Option<&str>), &str>| {
            let args = ServerArgs {
                server: server.map(str::to_owned),
                token_file: with_file.then(|| token_file.clone()),
                ..ServerArgs::default()
            };
            let environment = Environment {
                state_home: Some(folder.path().to_owned()),
                server: variable.map(str::to_owned),
                token: token.map(SecretString::from),
                ..Environment::default()
            };
            let found = find(&args, &environment).await.map(|(_, config)| {
                let token = config.auth_info.token.map(|token| token.expose_secret().to_owned());
                (config.cluster_url.to_string(), token)
            });
            let expected = expected.map(|(url, token)| (url.to_owned(), token.map(str::to_owned)));
            assert_eq!(
                found.map_err(|failure| failure.reason().to_owned()),
                expected.map_err(str::to_owned)
            );
        };
        check(None, false, None, None, Err("NoControlPlane")).await;
        fs::write(state.join("server.json"), "{").unwrap();
        check(None, false, None, None, Err("InvalidSettings")).await;
        fs::write(
            state.join("server.json"),
            r#"{"server": "http://a:1", "token": "of-file"}"#,
        )
        .unwrap();
        check(None, false, None, None, Ok(("http://a:1/", Some("of-file")))).await;
        check(None, false, None, Some("of-env"), Ok(("http://a:1/", Some("of-env")))).await;
        check(None, false, Some("http://b:1"), None, Ok(("http://b:1/", None))).await;
        check(
            None,
            true,
            Some("http://b:1"),
            Some("of-env"),
            Ok(("http://b:1/", Some("of-flag"))),
        )
        .await;
        check(
            Some("http://c:1"),
            false,
            Some("http://b:1"),
            Some("of-env"),
            Ok(("http://c:1/", Some("of-env"))),
        )
        .await;
        check(Some("c:1"), false, None, None, Err("InvalidSettings")).await;
        check(None, false, None, Some("two lines\n"), Err("InvalidSettings")).await;
    }
}
