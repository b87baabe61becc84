//! Exports the HTTP handlers of WASI 0.2 and of WASI 0.3, and answers as which it serves.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip3::{
    http::types::{ErrorCode, Request, Response},
    spawn_local, wit_future, wit_stream,
};

struct Component;

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let output = body.write().unwrap();
        output.blocking_write_and_flush(b"served by 0.2\n").unwrap();
        drop(output);
        OutgoingBody::finish(body, None).unwrap();
    }
}

impl wasip3::exports::http::handler::Guest for Component {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (mut writer, body) = wit_stream::new();
        spawn_local(async move {
            writer.write_all(b"served by 0.3\n".to_vec()).await;
        });
        let fields = wasip3::http::types::Fields::new();
        Ok(Response::new(fields, Some(body), trailers).0)
    }
}

wasip2::http::proxy::export!(Component);
wasip3::http::service::export!(Component);
