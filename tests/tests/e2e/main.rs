//! The end-to-end tests: real servers, real programs, real guests. One binary, so that one control plane serves them all.

/// One behaviour, two shells: the tests run with the operator on an API server, and with `propeller up`.
macro_rules! on_both_shells {
    ($($test:ident),+ $(,)?) => {
        mod kubernetes {
            $(#[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                super::$test(propeller_tests::World::kubernetes().await?).await
            })+
        }

        mod standalone {
            $(#[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                super::$test(propeller_tests::World::standalone().await?).await
            })+
        }
    };
}

mod bad_peers;
mod boundaries;
mod bus;
mod cli;
mod compile;
mod delivery;
mod docs;
mod grants;
mod guests;
mod harness;
mod host;
mod operator;
mod proplet;
mod runs;
mod specs;
mod up;
mod walks;
mod web;
mod work;
