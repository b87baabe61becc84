//! Lines that guests write, bounded in rate and in size, on their way to whoever reads them.
//!
//! Nobody waits for anybody here. What exceeds a bound is dropped, and a line in its place says how much that was and which bound it met:
//! `… 1,234 bytes dropped: more than 64 KiB/s`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use tokio::sync::mpsc;

/// What carrying a line costs beside its own bytes, so that a flood of empty lines is one too.
const ENVELOPE: usize = 64;

/// Where a guest writes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a guest wrote, or one that stands for what was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where.
    pub stream: Stream,
    /// Without its end. What isn't UTF-8 is replaced by U+FFFD.
    pub text: String,
}

/// How much of a run's output is told. Both streams, and all instances of a service, share these bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineLimits {
    /// Bytes per second in the long run. A line counts for 64 bytes more than it has.
    pub rate: u64,
    /// Bytes at once, after a time of less.
    pub burst: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes of one line. The rest of a longer one is dropped.
    pub line: usize,
    /// Bytes that wait for the reader.
    pub waiting: usize,
}

impl Default for LineLimits {
    /// 64 KiB/s with bursts of 256 KiB, 16 MiB in all, 8 KiB in a line, 512 KiB waiting.
    fn default() -> Self {
        Self {
            rate: 64 << 10,
            burst: 256 << 10,
            total: 16 << 20,
            line: 8 << 10,
            waiting: 512 << 10,
        }
    }
}

/// The writing end, for [`Stdio::Lines`](super::Stdio::Lines). Clones share the bounds.
#[derive(Clone)]
pub struct Lines {
    limits: LineLimits,
    gate: Arc<Mutex<Gate>>,
}

/// The reading end.
#[derive(Debug)]
pub struct LineReader {
    lines: mpsc::UnboundedReceiver<Line>,
    waiting: Arc<AtomicUsize>,
}

/// Two ends for the lines of one run.
pub fn lines(limits: LineLimits) -> (Lines, LineReader) {
    // Unbounded in number; the gate bounds it in bytes.
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let gate = Gate {
        limits,
        sender,
        waiting: waiting.clone(),
        shut: None,
        allowance: limits.burst,
        refilled: Instant::now(),
        told: 0,
        dropped: [None; 2],
    };
    let reader = LineReader {
        lines: receiver,
        waiting,
    };
    let gate = Arc::new(Mutex::new(gate));
    (Lines { limits, gate }, reader)
}

impl LineReader {
    /// The next line, or nothing once the run has ended and all of its lines were read.
    pub async fn next(&mut self) -> Option<Line> {
        let line = self.lines.recv().await;
        self.taken(line)
    }

    /// The next line, if there is one already.
    pub fn try_next(&mut self) -> Option<Line> {
        let line = self.lines.try_recv().ok();
        self.taken(line)
    }

    fn taken(&self, line: Option<Line>) -> Option<Line> {
        if let Some(line) = &line {
            self.waiting.fetch_sub(line.text.len() + ENVELOPE, Relaxed);
        }
        line
    }
}

impl Lines {
    pub(super) fn limits(&self) -> &LineLimits {
        &self.limits
    }

    /// A line, and how many bytes of it are beyond what a line may have.
    pub(super) fn offer(&self, stream: Stream, text: String, beyond: u64) {
        // Nothing under this lock panics.
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.offer(Instant::now(), Line { stream, text }, beyond);
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lines").field(&self.limits).finish()
    }
}

/// A bound that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Rate,
    Total,
    Line,
    Waiting,
}

#[derive(Debug, Clone, Copy)]
struct Dropped {
    bytes: u64,
    bound: Bound,
}

/// Lets lines through or drops them. Once shut it stays so until there is room for more than one line, or every other line of a flood would
/// be one about what was dropped.
struct Gate {
    limits: LineLimits,
    sender: mpsc::UnboundedSender<Line>,
    waiting: Arc<AtomicUsize>,
    shut: Option<Bound>,
    /// Bytes that may be told at once, as of `refilled`.
    allowance: u64,
    refilled: Instant,
    told: u64,
    /// By stream, what wasn't told of yet.
    dropped: [Option<Dropped>; 2],
}

impl Gate {
    fn offer(&mut self, now: Instant, line: Line, beyond: u64) {
        let (stream, bytes) = (line.stream, line.text.len());
        self.refill(now);
        self.shut = match self.shut {
            Some(bound) if !self.may_open(bound) => Some(bound),
            _ => self.met_by(bytes + ENVELOPE),
        };
        if let Some(bound) = self.shut {
            // With the end of the line, which was a byte as well.
            self.drop_bytes(stream, bytes as u64 + beyond + 1, bound);
            return;
        }
        self.own_up(stream);
        self.tell(line);
        if beyond > 0 {
            self.drop_bytes(stream, beyond, Bound::Line);
            self.own_up(stream);
        }
    }

    fn drop_bytes(&mut self, stream: Stream, bytes: u64, bound: Bound) {
        let dropped = self.dropped[stream as usize].get_or_insert(Dropped { bytes: 0, bound });
        dropped.bytes = dropped.bytes.saturating_add(bytes);
    }

    /// Says what was dropped, if it wasn't said yet.
    fn own_up(&mut self, stream: Stream) {
        if let Some(Dropped { bytes, bound }) = self.dropped[stream as usize].take() {
            let why = self.limits.words(bound);
            let text = format!("… {} bytes dropped: {why}", grouped(bytes));
            self.tell(Line { stream, text });
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let more = u64::try_from(passed.as_micros() * u128::from(self.limits.rate) / 1_000_000).unwrap_or(u64::MAX);
        // What is too short to give a byte goes on to count.
        if more > 0 {
            self.allowance = self.allowance.saturating_add(more).min(self.limits.burst);
            self.refilled = now;
        }
    }

    fn met_by(&self, bytes: usize) -> Option<Bound> {
        let cost = bytes as u64;
        if self.told.saturating_add(cost) > self.limits.total {
            Some(Bound::Total)
        } else if cost > self.allowance {
            Some(Bound::Rate)
        } else if self.waiting.load(Relaxed).saturating_add(bytes) > self.limits.waiting {
            Some(Bound::Waiting)
        } else {
            None
        }
    }

    fn may_open(&self, bound: Bound) -> bool {
        match bound {
            Bound::Rate => self.allowance >= self.limits.rate.min(self.limits.burst),
            Bound::Waiting => self.waiting.load(Relaxed) <= self.limits.waiting / 2,
            Bound::Total => false,
            Bound::Line => true,
        }
    }

    fn tell(&mut self, line: Line) {
        let cost = line.text.len() + ENVELOPE;
        self.waiting.fetch_add(cost, Relaxed);
        self.allowance = self.allowance.saturating_sub(cost as u64);
        self.told = self.told.saturating_add(cost as u64);
        // Whoever doesn't read any more doesn't want to know.
        let _ = self.sender.send(line);
    }
}

impl Drop for Gate {
    /// The run has ended.
    fn drop(&mut self) {
        self.own_up(Stream::Stdout);
        self.own_up(Stream::Stderr);
    }
}

impl LineLimits {
    fn words(&self, bound: Bound) -> String {
        match bound {
            Bound::Rate => format!("more than {}/s", size(self.rate)),
            Bound::Total => format!("more than {} in all", size(self.total)),
            Bound::Line => format!("a line of more than {}", size(self.line as u64)),
            Bound::Waiting => "nobody read them in time".to_owned(),
        }
    }
}

/// `64 KiB`, as limits are mostly set.
fn size(bytes: u64) -> String {
    match bytes {
        0 => "0 bytes".to_owned(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{} bytes", grouped(bytes)),
    }
}

/// `1,234`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::stdio::split::Splitter;

    const LIMITS: LineLimits = LineLimits {
        rate: 1 << 10,
        burst: 1 << 10,
        total: 1 << 20,
        line: 256,
        waiting: 1 << 20,
    };

    fn read(mut reader: LineReader) -> Vec<String> {
        std::iter::from_fn(|| reader.try_next()).map(|line| line.text).collect()
    }

    /// What becomes of pieces that a guest writes one after the other.
    fn check(limits: LineLimits, written: &[&[u8]], expected: &[&str]) {
        let (lines, reader) = lines(limits);
        let mut splitter = Splitter::new(lines, Stream::Stdout);
        written.iter().for_each(|bytes| splitter.take(bytes));
        drop(splitter);
        assert_eq!(read(reader), expected);
    }

    #[test]
    fn bytes_become_lines() {
        check(LIMITS, &[b"one\ntwo\n"], &["one", "two"]);
        check(LIMITS, &[b"o", b"ne\nt", b"wo"], &["one", "two"]);
        check(LIMITS, &[b"\n\r\nend\r\n"], &["", "", "end"]);
        check(LIMITS, &[b""], &[]);
        check(LIMITS, &[b"\xff\xc3\xa4\n\xc3"], &["\u{fffd}ä", "\u{fffd}"]);
        // A character that is written in two pieces.
        check(LIMITS, &[b"\xc3", b"\xa4"], &["ä"]);
    }

    #[test]
    fn a_long_line_is_cut() {
        let limits = LineLimits { line: 4, ..LIMITS };
        let cut = "… 1,234 bytes dropped: a line of more than 4 bytes";
        check(limits, &[b"abcd", &[b'x'; 1234], b"\nnext"], &["abcd", cut, "next"]);
        check(
            limits,
            &["aaaä".as_bytes()],
            &["aaa", "… 1 bytes dropped: a line of more than 4 bytes"],
        );
    }

    #[test]
    fn what_is_more_than_the_total_is_dropped() {
        let limits = LineLimits {
            total: 3 * (ENVELOPE as u64 + 1),
            ..LIMITS
        };
        check(
            limits,
            &[b"1\n2\n3\n4\n5\n"],
            &["1", "2", "3", "… 4 bytes dropped: more than 195 bytes in all"],
        );
    }

    #[test]
    fn a_flood_is_cut_to_its_rate_and_goes_on() {
        let (lines, reader) = lines(LIMITS);
        let start = Instant::now();
        let offer = |millis: u64, stream: Stream| {
            let line = Line {
                stream,
                text: "x".repeat(36),
            };
            let mut gate = lines.gate.lock().unwrap();
            gate.offer(start + Duration::from_millis(millis), line, 0);
        };
        // A hundred bytes each: ten fit the burst.
        (0..12).for_each(|_| offer(0, Stream::Stdout));
        offer(0, Stream::Stderr);
        // Room for one, and not for a second's worth.
        offer(200, Stream::Stdout);
        offer(2000, Stream::Stdout);
        drop(lines);
        let told = read(reader);
        let markers: Vec<_> = told.iter().filter(|line| line.starts_with('…')).collect();
        assert_eq!(
            markers,
            [
                "… 111 bytes dropped: more than 1 KiB/s",
                "… 37 bytes dropped: more than 1 KiB/s"
            ]
        );
        assert_eq!(told.len(), 10 + 1 + 1 + 1, "{told:?}");
    }

    #[test]
    fn what_nobody_reads_does_not_pile_up() {
        let limits = LineLimits {
            waiting: 2 * (ENVELOPE + 1),
            ..LIMITS
        };
        let (lines, mut reader) = lines(limits);
        let offer = |text: &str| lines.offer(Stream::Stderr, text.to_owned(), 0);
        ["1", "2", "3", "4"].into_iter().for_each(offer);
        let next = |reader: &mut LineReader| reader.try_next().map(|line| line.text);
        assert_eq!(next(&mut reader).as_deref(), Some("1"));
        offer("5");
        drop(lines);
        assert_eq!(read(reader), ["2", "… 4 bytes dropped: nobody read them in time", "5"]);
    }

    #[test]
    fn numbers_are_for_people() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
        for (bytes, expected) in [
            (0, "0 bytes"),
            (65536, "64 KiB"),
            (16 << 20, "16 MiB"),
            (1500, "1,500 bytes"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
