use std::{io::Write, path::PathBuf};

use clap::Parser;
use propeller_api::Memory;
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;

use super::{Flags, Machine, Settings};

const BROKER: &str = "--mqtt-broker=mqtt://broker";

fn machine() -> Machine {
    Machine {
        cpus: 2,
        memory: Some(Memory::from_bytes(8 << 30)),
        host_name: Some("Edge-7.lab.example".into()),
        state_dir: Some("/state".into()),
        password: None,
        otlp_endpoint: None,
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, flags: &[&str]) -> Result<Settings, String> {
    load_on(machine(), text, flags)
}

fn load_on(machine: Machine, text: &str, flags: &[&str]) -> Result<Settings, String> {
    let file = file(text);
    let config = format!("--config={}", file.path().display());
    let flags = Flags::try_parse_from([&["proplet", &config], flags].concat()).map_err(|error| error.to_string())?;
    let chain = |error: super::SettingsError| format!("{:#}", anyhow::Error::from(error));
    Settings::load(flags, machine).map_err(chain)
}

#[test]
fn what_is_not_said_has_a_default() {
    let settings = load("", &[BROKER]).unwrap();
    assert_eq!(
        (settings.id.as_str(), settings.mqtt.username.as_str()),
        ("edge-7", "edge-7")
    );
    assert_eq!(settings.mqtt.base.to_string(), "m/default/c/main");
    assert_eq!(settings.state_dir, PathBuf::from("/state"));
    assert_eq!(
        (settings.capacity.tasks, settings.capacity.memory.to_string().as_str()),
        (8, "4Gi")
    );
    assert_eq!(settings.task.memory.to_string(), "128Mi");
    assert_eq!((settings.heartbeat.as_secs(), settings.drain.as_secs()), (10, 30));
    assert_eq!((settings.queue, settings.http, settings.otlp_endpoint), (8, None, None));
    assert_eq!(
        (settings.task.max_result, settings.task.log_bytes_per_second),
        (64 << 10, 64 << 10)
    );
    assert_eq!(
        (settings.service.address.to_string(), settings.service.host.as_str()),
        ("127.0.0.1".into(), "127.0.0.1")
    );
}

#[test]
fn flags_beat_the_file() {
    let text = r#"
        id = "from-file"
        labels = { site = "lab", zone = "a" }
        heartbeat-seconds = 7
        [mqtt]
        broker = "mqtt://file"
        channel = "file"
        [capacity]
        tasks = 3
        memory = "1Gi"
        queue = 0
        [task]
        max-result = "128Ki"
        log-bytes = "1Mi"
        [service]
        address = "0.0.0.0"
        [artifacts]
        cache-size = "2Gi"
        [engine]
        guest-threads = 3
        compile-seconds = 10
        [http]
        address = "127.0.0.1:9464"
        [telemetry]
        otlp-endpoint = "http://file:4318"
        [registries."localhost:5000"]
        mirrors = ["mirror.lab:5000"]
        [policy]
        http = ["*.lab"]
    "#;
    let flags = [
        "--id=from-flag",
        "--mqtt-broker=mqtt://flag",
        "--capacity-tasks=5",
        "--label=zone=b",
        "--task-log-bytes=2Mi",
        "--http-address=[::1]:9464",
    ];
    let settings = load(text, &flags).unwrap();
    assert_eq!(settings.id.as_str(), "from-flag");
    assert_eq!(settings.mqtt.broker.host(), "flag");
    assert_eq!(settings.mqtt.base.to_string(), "m/default/c/file");
    assert_eq!(
        (settings.capacity.tasks, settings.capacity.memory.to_string().as_str()),
        (5, "1Gi")
    );
    assert_eq!(settings.heartbeat.as_secs(), 7);
    assert_eq!(format!("{:?}", settings.labels), r#"{"site": "lab", "zone": "b"}"#);
    assert_eq!(
        (settings.queue, settings.task.max_result, settings.task.log_bytes),
        (0, 128 << 10, 2 << 20)
    );
    // Nobody reaches 0.0.0.0: the machine's name is told.
    assert_eq!(settings.service.host, "Edge-7.lab.example");
    assert_eq!(settings.engine.guest_threads.map(usize::from), Some(3));
    assert_eq!(settings.engine.compile.wall.as_secs(), 10);
    assert_eq!(settings.artifact_cache, 2 << 30);
    assert_eq!(settings.http, Some("[::1]:9464".parse().unwrap()));
    assert_eq!(settings.otlp_endpoint.as_deref(), Some("http://file:4318"));
    assert_ne!(settings.registries, Default::default());
    assert_eq!(settings.policy.http.to_string(), "*.lab");
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
        "mqtt.broker is not set: set it in the configuration file, as PROPLET_MQTT_BROKER, or with --mqtt-broker",
    );
    check("\n\nbroker = 1", &[BROKER], ":3: unknown field `broker`");
    check("[mqtt]\npassword = \"x\"", &[BROKER], ":2: unknown field `password`");
    check(
        "labels = { site = \"a b\" }",
        &[BROKER],
        "labels: the value `a b` of `site` should be",
    );
    check(
        "[mqtt]\nbroker = \"http://x\"",
        &[],
        ":2: `http://x` is not a broker's URL",
    );
    check("id = \"Edge\"", &[BROKER], "`Edge` is not a proplet id");
    check("[registries.\"x\"]\nusername = \"me\"", &[BROKER], "password-file");
    check(
        "",
        &[BROKER, "--capacity-memory=lots"],
        "`lots` is not an amount of memory",
    );
    check("", &[BROKER, "--mqtt-domain=a/b"], "`a/b` can't be a domain");
    check(
        "",
        &[BROKER, "--task-memory=1Gi", "--task-max-memory=512Mi"],
        "task.memory is 1Gi, more than the 512Mi of task.max-memory",
    );
    check(
        "",
        &[BROKER, "--task-max-memory=8Gi"],
        "task.max-memory is 8Gi, more than the 4Gi of capacity.memory",
    );
    check(
        "",
        &[BROKER, "--task-max-result=1Mi"],
        "task.max-result is 1Mi, more than the 512Ki",
    );
    check("", &[BROKER, "--http-address=9464"], "--http-address");
    check(
        "",
        &[BROKER, "--mqtt-password-file=/nowhere"],
        "cannot read mqtt.password-file /nowhere",
    );
    check(
        "[policy]\nhttp = [\"a\", \"http://b\"]",
        &[BROKER],
        ":2: `http://b` is no HTTP host",
    );
    check(
        "[policy]\ndirectories = [{ path = \"data\" }]",
        &[BROKER],
        "policy.directories has the path data, which is not absolute",
    );
    check("", &[BROKER, "--heartbeat-seconds=0"], "--heartbeat-seconds");
    check(
        "",
        &["--mqtt-broker=mqtt://me:secret@broker"],
        "holds a user name or password",
    );
}

#[test]
fn what_the_file_says_is_not_repeated() {
    let error = load("[mqtt]\npassword = \"secret\"", &[BROKER]).unwrap_err();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn the_password_comes_from_a_file_or_the_environment() {
    let check = |flag: Option<&str>, variable: Option<&str>, in_file: Option<&str>, expected: Option<&str>| {
        let (flag, in_file) = (flag.map(file), in_file.map(file));
        let mut flags = vec!["proplet".to_owned(), BROKER.to_owned()];
        flags.extend(
            flag.as_ref()
                .map(|file| format!("--mqtt-password-file={}", file.path().display())),
        );
        let text = in_file
            .as_ref()
            .map(|file| format!("[mqtt]\npassword-file = \"{}\"", file.path().display()));
        let config = text.as_deref().map(file);
        flags.extend(
            config
                .as_ref()
                .map(|file| format!("--config={}", file.path().display())),
        );
        let machine = Machine {
            password: variable.map(SecretString::from),
            ..machine()
        };
        let settings = Settings::load(Flags::parse_from(flags), machine).unwrap();
        assert!(!format!("{settings:?}").contains("word-"), "a secret shows");
        assert_eq!(
            settings.mqtt.password.as_ref().map(|password| password.expose_secret()),
            expected
        );
    };
    check(None, None, None, None);
    check(None, None, Some("word-of-file\n"), Some("word-of-file"));
    check(
        None,
        Some("word-of-variable"),
        Some("word-of-file"),
        Some("word-of-variable"),
    );
    check(
        Some("word-of-flag\r\n"),
        Some("word-of-variable"),
        Some("word-of-file"),
        Some("word-of-flag"),
    );
}

#[test]
fn the_variable_that_tells_every_program_where_traces_go_is_heard() {
    let machine = Machine {
        otlp_endpoint: Some("http://environment:4318".into()),
        ..machine()
    };
    let settings = |flags: &[&str]| {
        let flags = Flags::parse_from([&["proplet", BROKER], flags].concat());
        Settings::load(flags, machine.clone()).unwrap().otlp_endpoint
    };
    assert_eq!(settings(&[]).as_deref(), Some("http://environment:4318"));
    let flag = settings(&["--telemetry-otlp-endpoint=http://flag:4318"]);
    assert_eq!(flag.as_deref(), Some("http://flag:4318"));
}

#[test]
fn a_misspelt_variable_is_found() {
    let names = ["PROPLET_ID", "PROPLET_MQTT_PASSWORD", "PROPLET_MQTT_BROKR", "HOME"].map(Into::into);
    assert_eq!(Flags::unknown_variables(names.into_iter()), ["PROPLET_MQTT_BROKR"]);
}

#[test]
fn compiling_leaves_a_small_machine_half_of_its_memory() {
    let check = |memory: Option<u64>, file: &str, expected: u64| {
        let machine = Machine {
            memory: memory.map(Memory::from_bytes),
            ..machine()
        };
        let settings = load_on(machine, file, &[BROKER, "--capacity-memory=64Mi"]).unwrap();
        assert_eq!(settings.engine.compile.memory, expected, "{memory:?} {file}");
    };
    check(Some(1 << 30), "", 256 << 20);
    check(Some(64 << 30), "", 2 << 30);
    check(None, "", 2 << 30);
    check(Some(1 << 30), "[engine]\ncompile-memory = '1Gi'", 1 << 30);
}
