//! A program of WASI 0.3: copies its standard input to its standard output, which is one stream passed on. What it can't copy is exit code 1.

use wasip3::{
    cli::{stdin, stdout},
    exports::cli::run::Guest,
};

struct Component;

impl Guest for Component {
    async fn run() -> Result<(), ()> {
        let (input, end) = stdin::read_via_stream();
        stdout::write_via_stream(input).await.map_err(drop)?;
        end.await.map_err(drop)
    }
}

wasip3::cli::command::export!(Component);
