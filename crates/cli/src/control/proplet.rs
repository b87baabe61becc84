//! `propeller proplet add` and `remove`: a device gets in, or doesn't any more.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use propeller_api::{API_VERSION, PropletId};
use propeller_host::proplet::{Join, JoinMqtt};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ControlError, kind::Kind, mosquitto, private::Private, secret, server::Server};
use crate::{
    args::{AddProplet, OtherBroker, RemoveProplet},
    failure::Failure,
    output::Output,
};

/// What was done.
#[derive(Debug, Serialize)]
struct Added<'a> {
    proplet: &'a PropletId,
    file: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Lets a device in. Nothing is done if its file couldn't be written.
pub async fn add(args: &AddProplet, server: &Server, output: &Output) -> Result<(), Failure> {
    let file = args.file.clone();
    if file.as_deref() == Some(Path::new("-")) {
        let words = "`--to` is a file: the secret in it is shown nowhere else, so not on standard output either";
        return Err(Failure::CommandLine(words.to_owned()));
    }
    let file = file.unwrap_or_else(|| PathBuf::from(format!("{}.join.toml", args.name)));
    if file.exists() && !args.replace {
        return Err(ControlError::JoinFileExists(file).into());
    }
    // Who can't write there learns it before the secret is made.
    let unwritable = |source| Failure::WriteFile {
        path: file.clone(),
        source,
    };
    let place = Private::begin(&file).map_err(unwritable)?;
    let (join, secret) = match &args.broker.broker {
        Some(_) => elsewhere(args, server).await?,
        None => here(args, server).await?,
    };
    let text = toml::to_string(&join).map_err(|error| unwritable(io::Error::other(error)))?;
    place.write(text.as_bytes()).map_err(unwritable)?;
    output.report(&Added {
        proplet: &args.name,
        file: &file,
        secret,
    })
}

/// The control plane's own broker.
async fn here(args: &AddProplet, server: &Server) -> Result<(Join, Option<String>), Failure> {
    let labels = args.labels.iter().map(|label| (label.key.clone(), label.value.clone()));
    let labels: serde_json::Map<String, Value> = labels.map(|(key, value)| (key, value.into())).collect();
    let wish = json!({"replace": args.replace, "labels": labels});
    let join = server.join(args.name.as_str(), &wish).await?;
    let join = serde_json::from_value(join).map_err(|error| ControlError::NoJoin(error.to_string()))?;
    Ok((join, None))
}

/// A broker that is configured by files, or by hand.
async fn elsewhere(args: &AddProplet, server: &Server) -> Result<(Join, Option<String>), Failure> {
    let name = args.name.as_str();
    if name == mosquitto::CONTROL {
        return Err(ControlError::ControlsName.into());
    }
    if let Some(directory) = &args.broker.mosquitto
        && !args.replace
        && mosquitto::knows(directory, name).map_err(unusable(directory))?
    {
        return Err(ControlError::HasCredentials(name.to_owned()).into());
    }
    let join = credentials(&args.name, &args.broker)?;
    let labels = args
        .labels
        .iter()
        .map(|label| (label.key.clone(), Value::from(label.value.clone())));
    let proplet = json!({
        "apiVersion": API_VERSION,
        "kind": "Proplet",
        "metadata": {"name": name, "namespace": server.namespace, "labels": labels.collect::<serde_json::Map<_, _>>()},
        "spec": {"connectionConfig": {"clientId": name}},
    });
    match server.create(Kind::Proplet, &proplet).await {
        Err(error) if error.code() != Some(409) => return Err(error.into()),
        _ => {}
    }
    let secret = match args.server.kube {
        true => Some(secret::keep(&join, args.replace, server).await?),
        false => None,
    };
    // Last: from here on the broker lets in who has this password, and nobody who had another.
    if let Some(directory) = &args.broker.mosquitto {
        let added = mosquitto::add(directory, name, &join.mqtt.password, args.replace);
        if !added.map_err(unusable(directory))? {
            return Err(ControlError::HasCredentials(name.to_owned()).into());
        }
    }
    Ok((join, secret))
}

fn credentials(id: &PropletId, args: &OtherBroker) -> Result<Join, Failure> {
    let ca = match &args.ca {
        Some(path) => Some(String::from_utf8_lossy(&crate::settings::read_file(path)?).into_owned()),
        None => None,
    };
    let broker = args
        .broker
        .clone()
        .ok_or_else(|| Failure::CommandLine("name the broker with `--broker`".into()))?;
    let password = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    Ok(Join {
        id: id.clone(),
        mqtt: JoinMqtt {
            broker,
            password: SecretString::from(password),
            ca,
            domain: "default".to_owned(),
            channel: "main".to_owned(),
        },
        registries: Default::default(),
    })
}

fn unusable(directory: &Path) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::WriteFile {
        path: directory.to_owned(),
        source,
    }
}

/// Lets a device in no more.
pub async fn remove(args: &RemoveProplet, server: &Server, output: &Output) -> Result<(), Failure> {
    let name = args.name.as_str();
    let known = match &args.mosquitto {
        Some(_) if name == mosquitto::CONTROL => return Err(ControlError::ControlsName.into()),
        Some(directory) => mosquitto::remove(directory, name).map_err(unusable(directory))?,
        None => false,
    };
    let deleted = server.delete(Kind::Proplet, &server.namespace, name, None).await?;
    let secret = match args.server.kube {
        true => secret::forget(&args.name, server, output).await?,
        false => false,
    };
    if deleted.is_none() && !known && !secret {
        return Err(server.missing(Kind::Proplet, name).into());
    }
    output.line(&format!("proplet/{name} removed"))?;
    output.document(&json!({"proplet": name}))
}

impl fmt::Display for Added<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        writeln!(
            f,
            "proplet/{} may join: copy {file} to the device, and run there",
            self.proplet
        )?;
        write!(f, "  proplet --join {file}")?;
        match &self.secret {
            Some(secret) => write!(f, "\nor mount the key join.toml of the Secret {secret} into its pod"),
            None => Ok(()),
        }
    }
}
