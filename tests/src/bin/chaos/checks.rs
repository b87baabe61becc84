//! What must be true: all the time, and in the end.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use propeller_api::{Phase, TaskStatus, condition, is_true, types};
use propeller_protocol::{Alive, Presence, decode};
use propeller_tests::{PATIENCE, Spy, wait_for};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::tasks::{End, Planned};

type Tasks = Api<propeller_crd::Task>;

/// Between two looks at all tasks.
const LOOK: Duration = Duration::from_secs(1);

/// How each task stood when it was last looked at, and what was wrong with that.
#[derive(Debug, Default)]
pub struct Seen {
    /// By name. What isn't there any more isn't here.
    pub now: BTreeMap<String, TaskStatus>,
    /// How those stood, by uid, that were first seen ended.
    ended: HashMap<String, TaskStatus>,
    pub wrong: Vec<String>,
}

impl Seen {
    /// Looks at all tasks from time to time, for as long as this is polled: what has ended must stay ended, the same way.
    pub async fn watch(&mut self, tasks: &Tasks) {
        loop {
            // The API server may be away, which says nothing about the tasks.
            let _ = self.look(tasks).await;
            sleep(LOOK).await;
        }
    }

    async fn look(&mut self, tasks: &Tasks) -> Result<()> {
        let list = timeout(PATIENCE, tasks.list(&ListParams::default())).await??;
        self.now.clear();
        for task in list {
            let (name, uid) = (task.name_any(), task.uid().unwrap_or_default());
            let status = task.status.unwrap_or_default();
            if let Some(before) = self.ended.get(&uid) {
                if fate(before) != fate(&status) {
                    self.wrong
                        .push(format!("{name} had ended, and changed: {before:?} became {status:?}"));
                    self.ended.insert(uid, status.clone());
                }
            } else if status.phase.is_terminal() {
                self.ended.insert(uid, status.clone());
            }
            self.now.insert(name, status);
        }
        Ok(())
    }

    /// Waits until every task stands as its plan wants it to stand in the end, as far as that can be waited for. Those that don't are wrong.
    pub async fn settle(&mut self, planned: &[Planned], tasks: &Tasks, limit: Duration) -> Duration {
        let begin = Instant::now();
        let unsettled = |seen: &Self| -> Vec<String> {
            let stand = |planned: &&Planned| !planned.wanted.end.is_reached(seen.now.get(&planned.name));
            planned
                .iter()
                .filter(stand)
                .map(|planned| planned.name.clone())
                .collect()
        };
        loop {
            let looked = self.look(tasks).await;
            let left = unsettled(self);
            if looked.is_ok() && left.is_empty() {
                break;
            }
            if begin.elapsed() > limit {
                for name in left {
                    let status = self.now.get(&name);
                    self.wrong.push(format!(
                        "{name} hasn't ended {limit:?} after everything was healed: {status:?}"
                    ));
                }
                break;
            }
            sleep(LOOK).await;
        }
        begin.elapsed()
    }

    /// Checks the end of each task, and how often it ran.
    pub fn judge(&mut self, planned: &[Planned], marks: &Path) {
        for planned in planned {
            let status = self.now.get(&planned.name);
            if !planned.wanted.end.is_reached(status) {
                // Said already.
                continue;
            }
            let ran = fs::metadata(marks.join(&planned.name)).map_or(0, |file| file.len());
            if let Err(wrong) = judge(planned, status, ran) {
                self.wrong
                    .push(format!("{}: {wrong:#}; it ran {ran} times; {status:?}", planned.name));
            }
        }
    }

    /// How many tasks ended how.
    pub fn ends(&self, planned: &[Planned]) -> BTreeMap<String, usize> {
        let mut ends = BTreeMap::new();
        for planned in planned {
            let end = match self.now.get(&planned.name) {
                None => "gone".to_owned(),
                Some(status) => reason(status).unwrap_or_else(|| format!("{:?}", status.phase)),
            };
            *ends.entry(end).or_default() += 1;
        }
        ends
    }
}

/// What can't change once it is there.
fn fate(status: &TaskStatus) -> (Phase, &Option<Value>, &Option<Value>, Option<u32>, u32) {
    (
        status.phase,
        &status.results,
        &status.error,
        status.finished_attempt,
        status.attempt,
    )
}

fn reason(status: &TaskStatus) -> Option<String> {
    condition(&status.conditions, types::FINISHED).map(|said| said.reason.clone())
}

impl End {
    fn is_reached(&self, status: Option<&TaskStatus>) -> bool {
        match (self, status) {
            (Self::Gone, status) => status.is_none(),
            (_, None) => false,
            (Self::Serves, Some(status)) => is_true(&status.conditions, types::READY),
            (Self::Value(..) | Self::Reason(..), Some(status)) => status.phase.is_terminal(),
        }
    }
}

fn judge(planned: &Planned, status: Option<&TaskStatus>, ran: u64) -> Result<()> {
    let wanted = &planned.wanted;
    if let Some(status) = status {
        let reason = reason(status).unwrap_or_default();
        match &wanted.end {
            End::Value(value, _) if reason == "Completed" => {
                ensure!(
                    status.results.as_ref() == Some(value),
                    "it has another result than {value}"
                );
                ensure!(wanted.marks.is_none() || ran > 0, "it completed, and never ran");
            }
            End::Value(_, failures) => ensure!(failures.contains(&reason.as_str()), "it should have completed"),
            End::Reason(wanted, error) => {
                ensure!(*wanted == reason, "it should have ended as {wanted}");
                ensure!(status.error == *error, "its error should be {error:?}");
            }
            End::Gone | End::Serves => {}
        }
        let attempts = u64::from(status.attempt);
        ensure!(ran <= attempts, "it was dispatched {attempts} times only");
    }
    let marks = wanted.marks.clone().unwrap_or(0..=0);
    ensure!(marks.contains(&ran), "it should have run {marks:?} times");
    Ok(())
}

/// Checks that the services serve, and that nothing listens there any more when they are deleted.
pub async fn services(planned: &[Planned], seen: &Seen, tasks: &Tasks) -> Result<()> {
    for planned in planned
        .iter()
        .filter(|planned| matches!(planned.wanted.end, End::Serves))
    {
        let name = &planned.name;
        let address = seen.now.get(name).and_then(|status| status.address.as_deref());
        let address = address.and_then(|address| address.strip_prefix("http://"));
        let address = address.with_context(|| format!("{name} has no address"))?;
        wait_for(&format!("{name} to answer"), PATIENCE, async || greeting(address).await).await?;
        tasks.delete(name, &DeleteParams::default()).await?;
        wait_for(&format!("{name} to stop listening"), PATIENCE, async || {
            ensure!(TcpStream::connect(address).await.is_err(), "{address} still listens");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn greeting(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.contains("hello"), "{answer}");
    Ok(())
}

/// Checks that no proplet holds anything: neither a run nor an outcome that nobody wants.
pub async fn orphans(broker: std::net::SocketAddr, proplets: usize) -> Result<()> {
    let spy = Spy::connect(broker, "m/default/c/main/control/proplet/alive/+").await?;
    wait_for("every proplet to hold nothing", PATIENCE, async || {
        let mut held: BTreeMap<String, Value> = BTreeMap::new();
        for message in spy.messages().into_iter().filter(|message| !message.retained) {
            let Ok(Alive { presence, .. }) = decode(&message.payload) else {
                continue;
            };
            let inventory = match presence {
                Presence::Alive { inventory, .. } => serde_json::to_value(inventory)?,
                Presence::Offline => json!("offline"),
            };
            held.insert(message.topic, inventory);
        }
        ensure!(held.len() == proplets, "{} of {proplets} are heard", held.len());
        let holding: Vec<_> = held.iter().filter(|(_, inventory)| **inventory != json!([])).collect();
        ensure!(holding.is_empty(), "{holding:?}");
        Ok(())
    })
    .await
}
