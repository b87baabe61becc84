//! Exports `wasi:cli/run` of WASI 0.2 and of WASI 0.3, and prints as which it was run.

struct Component;

impl wasip2::exports::cli::run::Guest for Component {
    fn run() -> Result<(), ()> {
        println!("0.2");
        Ok(())
    }
}

impl wasip3::exports::cli::run::Guest for Component {
    async fn run() -> Result<(), ()> {
        println!("0.3");
        Ok(())
    }
}

wasip2::cli::command::export!(Component);
wasip3::cli::command::export!(Component);
