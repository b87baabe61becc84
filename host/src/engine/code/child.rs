//! The parent's side of a compilation in a child process.
//!
//! The child gets the component on its standard input, and gives the code on its standard output or a line about what is wrong on its standard
//! error. It has no other file, no environment and no argument that says what it compiles. It bounds itself before it reads the first
//! byte; the deadline and the end of whoever waits are enforced from here.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
};

use bytes::Bytes;
use rustix::process::Signal;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use super::{CompileBounds, PrepareError, compiler::REFUSED, target::Target};
use crate::engine::failure::clip;

/// Bytes that are read of what a child has to say.
const WORDS: u64 = 64 << 10;

/// How a child ended, and what it gave.
struct Ended {
    status: ExitStatus,
    code: Vec<u8>,
    words: String,
}

/// Compiles in a child. It's killed when the future is dropped.
pub(super) async fn compile(
    program: &Path,
    bounds: &CompileBounds,
    target: Target,
    component: Bytes,
) -> Result<Vec<u8>, PrepareError> {
    let mut child = start(program, bounds, target)
        .map_err(|error| PrepareError::host(format!("cannot start {} to compile in: {error}", program.display())))?;
    let ended = tokio::time::timeout(bounds.wall, converse(&mut child, bounds, &component)).await;
    match ended {
        Ok(Ok(ended)) => conclude(ended, bounds),
        Ok(Err(error)) => Err(PrepareError::host(error)),
        // The child is killed as it is dropped, and waited for in the background.
        Err(_) => Err(PrepareError::CompileTooLong { limit: bounds.wall }),
    }
}

fn start(program: &Path, bounds: &CompileBounds, target: Target) -> io::Result<Child> {
    let arguments = super::compiler::arguments(target, bounds, std::process::id());
    Command::new(program)
        .args(arguments.map(OsString::from))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

async fn converse(child: &mut Child, bounds: &CompileBounds, component: &[u8]) -> io::Result<Ended> {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let tell = async {
        if let Some(mut input) = input {
            // It may have ended before it read everything, and says itself why.
            let _ = input.write_all(component).await;
        }
    };
    // One byte more than it may be, so that too much can be told from just enough.
    let ((), code, words) = tokio::join!(tell, hear(output, bounds.code + 1), hear(errors, WORDS));
    if code.as_ref().is_ok_and(|code| code.len() as u64 > bounds.code) {
        child.start_kill()?;
    }
    Ok(Ended {
        status: child.wait().await?,
        code: code?,
        words: String::from_utf8_lossy(&words?).into_owned(),
    })
}

/// Everything until the end, or until it's too much.
async fn hear(from: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn conclude(ended: Ended, bounds: &CompileBounds) -> Result<Vec<u8>, PrepareError> {
    let Ended { status, code, words } = ended;
    if code.len() as u64 > bounds.code {
        return Err(PrepareError::CodeTooLarge { limit: bounds.code });
    }
    if status.success() {
        return Ok(code);
    }
    let signal = status.signal().and_then(Signal::from_named_raw);
    let detail = clip(words.trim().to_owned());
    Err(match signal {
        // The child's own limit, in case the parent was held up.
        Some(Signal::XCPU) => PrepareError::CompileTooLong { limit: bounds.wall },
        // Nobody here kills it and goes on: it was the kernel, which was out of memory.
        Some(Signal::KILL) => PrepareError::CompileOutOfMemory { limit: bounds.memory },
        _ if is_out_of_memory(&words) => PrepareError::CompileOutOfMemory { limit: bounds.memory },
        _ if status.code() == Some(REFUSED.into()) => PrepareError::Compile { detail },
        _ => PrepareError::Compile {
            detail: format!("the compiler failed ({status}): {detail}"),
        },
    })
}

/// How Rust's allocator, threads and Wasmtime's memory maps say it.
fn is_out_of_memory(words: &str) -> bool {
    [
        "memory allocation of",
        "Cannot allocate memory",
        "out of memory",
        "Resource temporarily unavailable",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}
