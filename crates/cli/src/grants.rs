//! What a component is granted, as flags: the fields of a Task's `grants`.

use std::{collections::HashSet, env, path::PathBuf, str::FromStr};

use clap::{Args, ValueHint};
use propeller_api::{Bucket, BucketScope, Directory, EnvVar, Grants, HttpTarget, NetTarget};

use crate::{args::KeyValue, failure::Failure};

/// Flags that grant something. Each may be given several times, and adds to what a Task grants.
#[derive(Debug, Args)]
#[command(next_help_heading = "Grants: what the component may reach; nothing by default")]
pub struct GrantArgs {
    /// Environment variable; without a value, the one that propeller itself has
    #[arg(long = "env", short = 'e', value_name = "NAME[=VALUE]")]
    env: Vec<Variable>,
    /// Directory, and where the component sees it if that's elsewhere; `:ro` behind it lets nothing be changed, `:rw` is what it is without
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro|:rw]", value_hint = ValueHint::DirPath)]
    directories: Vec<Mount>,
    /// Host to ask over HTTP: api.example.com, *.example.com, 10.0.0.7:8080; ports 80 and 443 if none is said
    #[arg(long = "allow-http", value_name = "HOST[:PORT]")]
    http: Vec<HttpTarget>,
    /// Where sockets may connect to: db.example.com:5432, 10.0.0.0/8:5432, 10.0.0.7:*
    #[arg(long = "allow-net", value_name = "HOST:PORT")]
    net: Vec<NetTarget>,
    /// Value that wasi:config answers with
    #[arg(long = "config-var", value_name = "KEY=VALUE")]
    config_vars: Vec<KeyValue>,
    /// Bucket that wasi:keyvalue opens; `:namespace` behind it shares it with other tasks
    #[arg(long = "keyvalue", value_name = "BUCKET[:namespace]")]
    keyvalue: Vec<BucketArg>,
}

/// `NAME=VALUE`, or the name of a variable of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Variable {
    Given(EnvVar),
    Inherited(String),
}

/// `HOST`, `HOST::GUEST`, either with `:ro` or `:rw`. The host's path may be relative.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    host: PathBuf,
    guest: String,
    read_only: bool,
}

/// `BUCKET` or `BUCKET:namespace`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BucketArg(Bucket);

impl GrantArgs {
    /// What the flags grant, on top of what a Task does. What both name, a variable, a value, a guest's path or a bucket, is the
    /// flag's.
    pub fn on_top_of(&self, task: Option<&Grants>) -> Result<Grants, Failure> {
        self.granted(task, Mount::directory)
    }

    /// The same for a proplet, whose directories aren't those of this machine.
    pub fn for_a_proplet(&self, task: Option<&Grants>) -> Result<Grants, Failure> {
        self.granted(task, Mount::elsewhere)
    }

    fn granted(
        &self,
        task: Option<&Grants>,
        directory: impl Fn(&Mount) -> Result<Directory, Failure>,
    ) -> Result<Grants, Failure> {
        let mut grants = task.cloned().unwrap_or_default();
        for variable in &self.env {
            let variable = variable.read()?;
            grants.env.retain(|known| known.name != variable.name);
            grants.env.push(variable);
        }
        once("--dir", self.directories.iter().map(|mount| mount.guest.as_str()))?;
        for mount in &self.directories {
            grants.directories.retain(|known| known.guest_path != mount.guest);
            grants.directories.push(directory(mount)?);
        }
        grants.http.extend(self.http.iter().cloned());
        grants.net.extend(self.net.iter().cloned());
        let config = self.config_vars.iter().cloned();
        grants.config.extend(config.map(|KeyValue { key, value }| (key, value)));
        once(
            "--keyvalue",
            self.keyvalue.iter().map(|bucket| bucket.0.bucket.as_str()),
        )?;
        for BucketArg(bucket) in &self.keyvalue {
            grants.keyvalue.retain(|known| known.bucket != bucket.bucket);
            grants.keyvalue.push(bucket.clone());
        }
        Ok(grants)
    }
}

/// Two flags for one thing: one of them would be ignored.
fn once<'a>(flag: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Failure::CommandLine(format!("there are two `{flag}` for `{name}`")));
        }
    }
    Ok(())
}

impl Variable {
    fn read(&self) -> Result<EnvVar, Failure> {
        match self {
            Self::Given(variable) => Ok(variable.clone()),
            Self::Inherited(name) => Ok(EnvVar {
                name: name.clone(),
                value: env::var(name).map_err(|_| Failure::NoVariable(name.clone()))?,
            }),
        }
    }
}

impl Mount {
    /// A grant names its directory in full.
    fn directory(&self) -> Result<Directory, Failure> {
        let host = self.host.canonicalize().map_err(|source| Failure::ReadFile {
            path: self.host.clone(),
            source,
        })?;
        let host_path = host.into_os_string().into_string();
        Ok(Directory {
            host_path: host_path.map_err(|path| Failure::NotUnicode(path.into()))?,
            guest_path: self.guest.clone(),
            read_only: self.read_only,
        })
    }
}

impl Mount {
    /// Whether it is there, its proplet says.
    fn elsewhere(&self) -> Result<Directory, Failure> {
        let host_path = self.host.to_str().filter(|_| self.host.is_absolute());
        let host_path = host_path.ok_or_else(|| Failure::RelativeDirectory(self.host.clone()))?;
        Ok(Directory {
            host_path: host_path.to_owned(),
            guest_path: self.guest.clone(),
            read_only: self.read_only,
        })
    }
}

impl FromStr for Variable {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("", _)) | None if text.is_empty() || text.starts_with('=') => Err("write it as NAME=VALUE or NAME"),
            Some((name, value)) => Ok(Self::Given(EnvVar {
                name: name.to_owned(),
                value: value.to_owned(),
            })),
            None => Ok(Self::Inherited(text.to_owned())),
        }
    }
}

impl FromStr for Mount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (paths, read_only) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (host, guest) = paths.split_once("::").unwrap_or((paths, paths));
        if host.is_empty() || guest.is_empty() {
            return Err("write it as HOST::GUEST, such as ./data::/data or ./data::/data:ro");
        }
        Ok(Self {
            host: host.into(),
            guest: guest.to_owned(),
            read_only,
        })
    }
}

impl FromStr for BucketArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bucket, scope) = match text.split_once(':') {
            None => (text, BucketScope::Task),
            Some((bucket, "task")) => (bucket, BucketScope::Task),
            Some((bucket, "namespace")) => (bucket, BucketScope::Namespace),
            Some(_) => return Err("write it as BUCKET or BUCKET:namespace"),
        };
        if bucket.is_empty() {
            return Err("a bucket has a name");
        }
        Ok(Self(Bucket {
            bucket: bucket.to_owned(),
            scope,
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        grants: GrantArgs,
    }

    fn grants(line: &str, task: Option<&Grants>) -> Result<serde_json::Value, String> {
        let line = Line::try_parse_from(["test"].into_iter().chain(line.split_whitespace()));
        let grants = line.map_err(|error| error.to_string())?.grants.on_top_of(task);
        let grants = grants.map_err(|failure| failure.reason().to_owned())?;
        Ok(serde_json::to_value(grants).unwrap())
    }

    #[test]
    fn flags_are_the_fields_of_a_task() {
        let here = env::current_dir().unwrap().canonicalize().unwrap();
        let check = |line: &str, expected: serde_json::Value| assert_eq!(grants(line, None), Ok(expected), "{line}");
        check("", json!({}));
        check(
            "-e A=b=c --env D=",
            json!({"env": [{"name": "A", "value": "b=c"}, {"name": "D", "value": ""}]}),
        );
        let path = env::var("PATH").unwrap();
        check("--env PATH", json!({"env": [{"name": "PATH", "value": path}]}));
        check(
            "--dir .",
            json!({"directories": [{"hostPath": here, "guestPath": "."}]}),
        );
        check(
            "--dir .::/data:ro --dir src:ro --dir .::/out:rw",
            json!({"directories": [
                {"hostPath": here, "guestPath": "/data", "readOnly": true},
                {"hostPath": here.join("src"), "guestPath": "src", "readOnly": true},
                {"hostPath": here, "guestPath": "/out"},
            ]}),
        );
        check("--allow-http *.example.com", json!({"http": ["*.example.com"]}));
        check("--allow-net 10.0.0.0/8:5432", json!({"net": ["10.0.0.0/8:5432"]}));
        check("--config-var a=b", json!({"config": {"a": "b"}}));
        check(
            "--keyvalue mine --keyvalue ours:namespace",
            json!({"keyvalue": [{"bucket": "mine", "scope": "Task"}, {"bucket": "ours", "scope": "Namespace"}]}),
        );
    }

    #[test]
    fn flags_add_to_a_task() {
        let task = json!({
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "http": ["a.example"],
            "directories": [{"hostPath": "/srv", "guestPath": "/data"}, {"hostPath": "/srv", "guestPath": "/in"}],
            "keyvalue": [{"bucket": "ours", "scope": "Namespace"}],
        });
        let here = env::current_dir().unwrap();
        let task = serde_json::from_value(task).unwrap();
        let expected = json!({
            "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}],
            "http": ["a.example", "b.example"],
            "directories": [
                {"hostPath": "/srv", "guestPath": "/in"},
                {"hostPath": here, "guestPath": "/data", "readOnly": true},
            ],
            "keyvalue": [{"bucket": "ours", "scope": "Task"}],
        });
        let line = "--env A=3 --allow-http b.example --dir .::/data:ro --keyvalue ours";
        assert_eq!(grants(line, Some(&task)), Ok(expected));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |line: &str, words: &str| {
            let refused = grants(line, None).unwrap_err();
            assert!(refused.contains(words), "{line}: {refused}");
        };
        check("--env =b", "NAME=VALUE");
        check("--env NOBODY_HAS_SET_THIS", "Usage");
        check("--dir ::/data", "HOST::GUEST");
        check("--dir /no/such/directory", "ReadFailed");
        check("--dir .::/data --dir src::/data:ro", "Usage");
        check("--keyvalue a --keyvalue a:namespace", "Usage");
        check("--allow-http http://a", "HTTP host");
        check("--allow-net db", "network target");
        check("--config-var a", "KEY=VALUE");
        check("--keyvalue a:everyone", "BUCKET:namespace");
    }
}
