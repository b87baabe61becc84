//! The verbs that speak to a control plane: a standalone one, or Kubernetes'.
//!
//! ```text
//!  flags, environment, `propeller up`'s file ──► place ──► server: get, list, create, replace, delete ──► apply, get, describe, logs, delete, …
//!                                                          watch: what is there, then each change ──────► wait, drain, get --watch
//! ```
//!
//! Both have one API, that of Kubernetes, so there is one client. Objects are the JSON that came: what `--output json` prints is what the API says.
//! Never here: a rule of its own about resources, which are `propeller-api`'s and the control plane's; polling.

mod age;
mod apply;
mod columns;
mod cordon;
mod delete;
mod describe;
mod error;
mod get;
mod kind;
mod logs;
mod manifest;
mod merge;
mod mosquitto;
pub mod names;
mod place;
mod private;
mod proplet;
pub mod remote;
mod rerun;
mod secret;
mod server;
mod table;
mod wait;
mod watch;

pub use error::ControlError;
pub use manifest::ManifestError;
pub use mosquitto::CONTROL;
pub use remote::TaskFailure;
pub use server::Server;

use crate::{
    args::{Command, PropletCommand, PropletVerb, ServerArgs},
    failure::Failure,
    output::Output,
    settings::Environment,
};

/// Does what a verb asks for. Commands that ask nothing of a control plane aren't for here.
pub async fn perform(command: &Command, environment: &Environment, output: &Output) -> Result<(), Failure> {
    let server = async |args: &ServerArgs| Server::find(args, environment).await;
    match command {
        Command::Apply(args) => apply::apply(args, &server(&args.server).await?, output).await?,
        Command::Get(args) => get::get(args, &server(&args.server).await?, output).await?,
        Command::Describe(args) => describe::describe(args, &server(&args.server).await?, output).await?,
        Command::Logs(args) => logs::logs(args, &server(&args.server).await?, output).await?,
        Command::Wait(args) => wait::wait(args, &server(&args.server).await?, output).await?,
        Command::Delete(args) => delete::delete(args, &server(&args.server).await?, output).await?,
        Command::Cordon(args) => cordon::cordon(args, true, &server(&args.server).await?, output).await?,
        Command::Uncordon(args) => cordon::cordon(args, false, &server(&args.server).await?, output).await?,
        Command::Drain(args) => cordon::drain(args, &server(&args.server).await?, output).await?,
        Command::Proplet(PropletCommand { verb }) => match verb {
            PropletVerb::Add(args) => proplet::add(args, &server(&args.server).await?, output).await?,
            PropletVerb::Remove(args) => proplet::remove(args, &server(&args.server).await?, output).await?,
        },
        Command::Rerun(args) => rerun::rerun(args, &server(&args.server).await?, output).await?,
        _ => {}
    }
    Ok(())
}
