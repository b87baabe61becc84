//! Who we are at a registry: its settings, else Docker's configuration file and credential helpers, else nobody.

use std::{fs, io, path::Path};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;
use secrecy::{ExposeSecret, SecretString};

use crate::{error::Error, settings::Login};

/// Docker Hub's entry in Docker's configuration file is named after an address that nothing else uses any more.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// What a credential helper says when it has nothing; see `credentials/error.go` of docker-credential-helpers.
const HELPER_HAS_NONE: &str = "credentials not found in native keychain";

/// The credentials for one registry host. Blocks: it reads files, and may run a credential helper.
pub(crate) fn of(host: &str, login: Option<&Login>, docker_config: Option<&Path>) -> Result<RegistryAuth, Error> {
    match (login, docker_config) {
        (Some(login), _) => from_login(host, login),
        (None, Some(path)) => from_docker(host, path),
        (None, None) => Ok(RegistryAuth::Anonymous),
    }
}

fn from_login(host: &str, login: &Login) -> Result<RegistryAuth, Error> {
    let read = fs::read_to_string(&login.password_file);
    let password = SecretString::from(read.map_err(failed(host, login.password_file.display().to_string()))?);
    let password = password.expose_secret().trim_end_matches(['\r', '\n']).to_owned();
    Ok(RegistryAuth::Basic(login.username.clone(), password))
}

fn from_docker(host: &str, path: &Path) -> Result<RegistryAuth, Error> {
    let file = match fs::File::open(path) {
        Ok(file) => io::BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(failed(host, path.display().to_string())(error)),
    };
    let key = if host == "docker.io" { DOCKER_HUB_KEY } else { host };
    match docker_credential::get_credential_from_reader(file, key) {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(RegistryAuth::Basic(username, password)),
        Ok(DockerCredential::IdentityToken(_)) => Err(failed(host, path.display().to_string())(identity_token())),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.trim() == HELPER_HAS_NONE => {
            Ok(RegistryAuth::Anonymous)
        }
        // Its message repeats all that the helper printed, which isn't ours to show.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => Err(failed(host, format!("`{helper}`"))(
            io::Error::other("the credential helper failed"),
        )),
        Err(error) => Err(failed(host, path.display().to_string())(error)),
    }
}

/// An identity token is a refresh token that has to be exchanged at the registry's token server, which oci-client can't do.
fn identity_token() -> io::Error {
    io::Error::other(
        "it holds an identity token, which isn't supported: log in with a user name and an access token as password, or set \
         `username` and `password-file` for this registry",
    )
}

fn failed<E: std::error::Error + Send + Sync + 'static>(host: &str, origin: String) -> impl FnOnce(E) -> Error {
    let registry = host.to_owned();
    move |source| Error::CredentialsFailed {
        registry,
        origin,
        source: source.into(),
    }
}
