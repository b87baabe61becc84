//! Results on standard output, failures on standard error; each from one value, as text or as JSON.

use std::{
    error::Error,
    fmt::{self, Display},
    io::{self, Write},
    iter,
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::Format,
    exit::Exit,
    failure::{Failure, Known},
    figures::FiguresReport,
};

/// For the words about what was stopped. With the time that a guest has to end, it is within a second.
const PATIENCE: Duration = Duration::from_millis(300);

const RED: Style = AnsiColor::Red.on_default().bold();

/// How a command's result is written, to standard output.
pub struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    /// Results go to standard output. `quiet` says nothing beside them.
    pub fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// The format that was asked for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Tells people what was done: a line at once. Programs get a document in the end.
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            _ => self.bytes(format!("{line}\n").as_bytes()),
        }
    }

    /// Tells programs a result that people were told by lines.
    pub fn document(&self, document: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.bytes(format!("{document}\n").as_bytes()),
            _ => Ok(()),
        }
    }

    /// Writes text that is a result by itself, in whichever format.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Tells people what isn't a result: that there is none, or what is waited for.
    pub fn note(&self, words: &str) {
        if !self.quiet && self.format != Format::Json {
            // Where even standard error is gone, there is nobody to tell.
            let _ = writeln!(io::stderr(), "{words}");
        }
    }

    /// Tells a result. One without text, such as that of a function that returns nothing, is no line at all.
    pub fn report(&self, report: &(impl Serialize + Display)) -> Result<(), Failure> {
        let mut text = match self.format {
            Format::Json => to_json(report),
            _ => report.to_string(),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.bytes(text.as_bytes())
    }

    /// Writes bytes that are a result by themselves.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // Whoever reads has read enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(Failure::Print),
        }
    }

    /// Tells programs how a program ended, beside its own output: on standard error. People see it by themselves.
    pub fn aside(&self, report: &impl Serialize) {
        if self.format == Format::Json {
            // Where even standard error is gone, the exit code remains.
            let _ = writeln!(io::stderr(), "{}", to_json(report));
        }
    }

    /// Tells a failure, and how the process is to end.
    pub fn failure(&self, failure: &Failure, known: &Known) -> ExitCode {
        let error = Told::of(failure);
        let figures = known.figures.map(FiguresReport::from);
        let words = match self.format {
            Format::Json => to_json(&Envelope { error, figures }),
            _ => error.to_string(),
        };
        let exit = failure.exit();
        tell(
            words,
            matches!(exit, Exit::Deadline | Exit::Interrupted).then_some(PATIENCE),
        );
        exit.code(known.ran)
    }
}

/// On standard error. What had to be ended may have filled it, with nobody who reads, and holds its lock: then it isn't told after a while, and the exit
/// code remains. It remains as well where even standard error is gone.
fn tell(words: String, patience: Option<Duration>) {
    let (done, told) = mpsc::channel::<()>();
    let telling = thread::Builder::new().spawn(move || {
        let _ = writeln!(anstream::stderr(), "{words}");
        drop(done);
    });
    // Nothing is ever sent: what is waited for is the end.
    let _ = match (telling, patience) {
        (Ok(_), Some(patience)) => told.recv_timeout(patience).ok(),
        (Ok(_), None) => told.recv().ok(),
        (Err(_), _) => None,
    };
}

/// A failure as it is told: `{"error": {…}}` in JSON, with the figures if something ran.
#[derive(Debug, Serialize)]
struct Envelope<'a> {
    error: Told<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<FiguresReport>,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    reason: &'a str,
    message: String,
    /// From the next cause to the first.
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    /// An `err` result's. In text the message has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    backtrace: &'a [String],
}

impl<'a> Told<'a> {
    fn of(failure: &'a Failure) -> Self {
        let causes = iter::successors(failure.source(), |error| (*error).source());
        Self {
            reason: failure.reason(),
            message: failure.to_string(),
            causes: causes.map(ToString::to_string).collect(),
            hint: failure.hint(),
            value: failure.value(),
            backtrace: failure.backtrace(),
        }
    }
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{RED}error:{RED:#} {}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {}", cause.trim_end().replace('\n', "\n    "))?;
        }
        for frame in self.backtrace {
            write!(f, "\n  {frame}")?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("reports are structs, and maps with text for keys, which have a JSON form")
}

#[cfg(test)]
mod tests {
    use propeller_host::engine::InvokeError;
    use propeller_types::ReadError;
    use serde_json::json;

    use super::*;

    fn check(failure: Failure, text: &str, json: Value) {
        let told = Told::of(&failure);
        assert_eq!(anstream::adapter::strip_str(&told.to_string()).to_string(), text);
        assert_eq!(
            serde_json::to_value(Envelope {
                error: told,
                figures: None
            })
            .unwrap(),
            json!({ "error": json })
        );
    }

    #[test]
    fn a_failure_is_told_with_its_causes() {
        check(
            Failure::NotAComponent {
                name: "a.txt".into(),
                source: ReadError::NotWasm,
            },
            "error: `a.txt` is not a component\n  \
             caused by: not WebAssembly: the file doesn't start with `\\0asm`; give the built .wasm component",
            json!({
                "reason": "NotWasm",
                "message": "`a.txt` is not a component",
                "causes": ["not WebAssembly: the file doesn't start with `\\0asm`; give the built .wasm component"],
            }),
        );
    }

    #[test]
    fn an_err_result_has_its_value() {
        let value = json!({"overloaded": {"boxes": 40}});
        check(
            InvokeError::ErrResult {
                value: Some(value.clone()),
            }
            .into(),
            r#"error: the function returned an error: {"overloaded":{"boxes":40}}"#,
            json!({
                "reason": "ErrResult",
                "message": r#"the function returned an error: {"overloaded":{"boxes":40}}"#,
                "causes": [],
                "value": value,
            }),
        );
    }

    #[test]
    fn a_trap_has_its_backtrace() {
        let trap = InvokeError::Trap {
            message: "unreachable".into(),
            backtrace: vec!["0: 0x1 - a!b".into()],
        };
        let message = trap.to_string();
        check(
            trap.into(),
            &format!("error: {message}\n  0: 0x1 - a!b"),
            json!({"reason": "Trap", "message": message, "causes": [], "backtrace": ["0: 0x1 - a!b"]}),
        );
    }

    #[test]
    fn a_bound_names_its_flag() {
        let failure = Failure::from(InvokeError::OutOfMemory { limit: 1 });
        assert!(
            Told::of(&failure)
                .to_string()
                .ends_with("\nhint: on the command line, `--memory` sets resources.memory")
        );
    }
}
