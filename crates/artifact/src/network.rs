//! Getting through: mirrors before the registry, tries with growing waits, and a bound on it all.

use std::{future::Future, path::PathBuf};

use backon::{ExponentialBuilder, Retryable};

use crate::{
    config::Patience,
    error::{Error, Obstacle},
    hosts::{Hosts, Place, Places},
    reference::Reference,
    settings::Registries,
    source::Source,
    translate::Asked,
};

pub(crate) struct Network {
    pub(crate) hosts: Hosts,
    patience: Patience,
}

impl Network {
    pub(crate) fn new(
        registries: Registries,
        docker_config: Option<PathBuf>,
        patience: Patience,
    ) -> Result<Self, Error> {
        let hosts = Hosts::new(registries, docker_config, patience.connect, patience.idle)?;
        Ok(Self { hosts, patience })
    }

    /// Asks each place in turn, and all of them again after a while if that may help. A `Retry-After` isn't followed: oci-client doesn't
    /// hand it out.
    pub(crate) async fn persist<T, F>(&self, places: &Places, ask: impl Fn(Source) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(self.patience.first_delay)
            .with_max_delay(self.patience.longest_delay)
            .with_max_times(self.patience.tries.saturating_sub(1))
            .with_jitter();
        (|| self.ask_each(places, &ask))
            .retry(backoff)
            .when(Error::is_momentary)
            .notify(|error, delay| tracing::info!(%error, ?delay, "trying the registry again"))
            .await
    }

    /// The first success, else the registry's own error. Where only mirrors can be reached at all, theirs says more.
    async fn ask_each<T, F>(&self, places: &Places, ask: &impl Fn(Source) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut heard = None;
        for mirror in &places.mirrors {
            match self.ask(mirror, ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::warn!(mirror = mirror.host, reason = error.reason(), %error, "a mirror didn't help");
                    heard = Some(error).filter(|error| !error.is_unreachable()).or(heard);
                }
            }
        }
        match (self.ask(&places.home, ask).await, heard) {
            (Err(error), Some(heard)) if error.is_unreachable() && !error.is_momentary() => Err(heard),
            (answer, _) => answer,
        }
    }

    async fn ask<T, F>(&self, place: &Place, ask: &impl Fn(Source) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answer = ask(self.hosts.source(place).await?).await;
        if let Err(Error::Unauthorized { .. }) = answer {
            self.hosts.forget(&place.host);
        }
        answer
    }

    /// Bounds a whole operation.
    pub(crate) async fn in_time<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let asked = Asked {
            registry: reference.registry(),
            reference: reference.to_string(),
        };
        match tokio::time::timeout(self.patience.whole, work).await {
            Ok(result) => result,
            Err(elapsed) => Err(asked.unreachable(Obstacle::Timeout, elapsed)),
        }
    }
}
