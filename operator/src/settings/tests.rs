use std::{io::Write, path::PathBuf};

use clap::Parser;
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;

use super::{Flags, LogFormat, Machine, Settings};

const BROKER: &str = "--mqtt-broker=mqtt://broker";

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    flags: Flags,
}

fn machine() -> Machine {
    Machine {
        in_pod: false,
        cache_dir: Some("/cache".into()),
        state_dir: Some("/state".into()),
        password: None,
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load_on(machine: Machine, text: &str, flags: &[&str]) -> Result<Settings, String> {
    let file = file(text);
    let config = format!("--config={}", file.path().display());
    let command = Command::try_parse_from([&["operator", &config], flags].concat());
    let flags = command.map_err(|error| error.to_string())?.flags;
    Settings::load(flags, machine).map_err(|error| propeller_control::error::chain(&error))
}

fn load(text: &str, flags: &[&str]) -> Result<Settings, String> {
    load_on(machine(), text, flags)
}

#[test]
fn what_is_not_said_has_a_default() {
    let settings = load("", &[BROKER]).unwrap();
    assert_eq!(settings.mqtt.base.to_string(), "m/default/c/main");
    assert_eq!(
        (settings.lease.name.as_str(), settings.lease.seconds),
        ("propeller-operator", 15)
    );
    assert_eq!((settings.register_in, settings.watch_namespace), (None, None));
    assert_eq!(settings.artifacts.cache, PathBuf::from("/cache"));
    assert_eq!(settings.artifacts.max_component, 256 << 20);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.logs.directory, PathBuf::from("/state/logs"));
    assert_eq!(settings.logs.listen.to_string(), "127.0.0.1:8443");
    assert_eq!((settings.logs.address, settings.logs.identity), (None, None));
    let in_pod = Machine {
        in_pod: true,
        ..machine()
    };
    let in_pod = load_on(in_pod, "", &[BROKER]).unwrap();
    assert_eq!(in_pod.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(in_pod.logs.listen.to_string(), "0.0.0.0:8443");
}

#[test]
fn flags_beat_the_file() {
    let text = r#"
        auto-register = true
        log-format = "json"
        [mqtt]
        broker = "mqtt://file"
        domain = "file"
        channel = "file"
        [lease]
        seconds = 5
        [artifacts]
        max-size = "1Mi"
        [logs]
        directory = "/file"
        address = "10.1.2.3"
        certificate = "/tls/tls.crt"
        key = "/tls/tls.key"
        [registries."localhost:5000"]
        mirrors = ["mirror.lab:5000"]
    "#;
    let flags = [
        "--mqtt-broker=mqtt://flag:1",
        "--mqtt-channel=flag",
        "--lease-seconds=7",
        "--listen=[::1]:0",
        "--logs-directory=/flag",
    ];
    let settings = load(text, &flags).unwrap();
    assert_eq!((settings.mqtt.broker.host(), settings.mqtt.broker.port()), ("flag", 1));
    assert_eq!(settings.mqtt.base.to_string(), "m/file/c/flag");
    assert_eq!((settings.lease.seconds, settings.log_format), (7, LogFormat::Json));
    assert_eq!(settings.register_in.as_deref(), Some("default"));
    assert_eq!(settings.artifacts.max_component, 1 << 20);
    assert_eq!(settings.listen.to_string(), "[::1]:0");
    assert_ne!(settings.artifacts.registries, Default::default());
    let identity = settings.logs.identity.unwrap();
    assert_eq!(
        (settings.logs.directory, identity.key),
        ("/flag".into(), "/tls/tls.key".into())
    );
    assert_eq!(settings.logs.address, Some([10, 1, 2, 3].into()));
}

#[test]
fn mistakes_are_named_with_key_and_place() {
    let check = |text: &str, flags: &[&str], expected: &str| {
        let error = load(text, flags).unwrap_err();
        assert!(error.contains(expected), "{text} {flags:?}: {error}");
    };
    check(
        "",
        &[],
        "mqtt.broker is not set: set it in the configuration file, as PROPELLER_OPERATOR_MQTT_BROKER",
    );
    check("\n\nbroker = 1", &[BROKER], ":3: unknown field `broker`");
    check("[mqtt]\npassword = \"x\"", &[BROKER], ":2: unknown field `password`");
    check(
        "[mqtt]\nbroker = \"http://x\"",
        &[],
        ":2: `http://x` is not a broker's URL",
    );
    check("listen = \"8080\"", &[BROKER], ":1: ");
    check("[lease]\nseconds = 2", &[BROKER], "lease.seconds is 2, less than 3");
    check("", &[BROKER, "--mqtt-domain=a/b"], "`a/b` can't be a domain");
    check(
        "",
        &[BROKER, "--mqtt-password-file=/nowhere"],
        "cannot read mqtt.password-file /nowhere",
    );
    check(
        "",
        &["--mqtt-broker=mqtt://me:secret@broker"],
        "holds a user name or password",
    );
    check("", &[BROKER, "--logs-key=/k"], "logs.certificate is not set");
    check("[logs]\ncertificate = \"/c\"", &[BROKER], "logs.key is not set");
    check("[registries.\"x\"]\nusername = \"me\"", &[BROKER], "password-file");
}

#[test]
fn the_password_comes_from_a_file_or_the_environment() {
    let check = |flag: Option<&str>, variable: Option<&str>, expected: Option<&str>| {
        let flag = flag.map(file);
        let flag = flag
            .as_ref()
            .map(|file| format!("--mqtt-password-file={}", file.path().display()));
        let flags: Vec<&str> = [BROKER].into_iter().chain(flag.as_deref()).collect();
        let machine = Machine {
            password: variable.map(SecretString::from),
            ..machine()
        };
        let settings = load_on(machine, "", &flags).unwrap();
        assert!(!format!("{settings:?}").contains("word-"), "a secret shows");
        let password = settings.mqtt.password.as_ref();
        assert_eq!(password.map(|password| password.expose_secret()), expected);
    };
    check(None, None, None);
    check(None, Some("word-of-variable"), Some("word-of-variable"));
    check(Some("word-of-file\r\n"), Some("word-of-variable"), Some("word-of-file"));
}
