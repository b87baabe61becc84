//! A service of WASI 0.2. It takes as many MiB of memory as the path says, begins to answer, and holds them until the request's body ends.

use std::hint::black_box;

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
};

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap();
        let mebibytes: usize = path[1..].parse().unwrap();
        let held = vec![1_u8; mebibytes << 20];

        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let output = body.write().unwrap();
        output.blocking_write_and_flush(b"held").unwrap();
        let incoming = request.consume().unwrap();
        let input = incoming.stream().unwrap();
        while input.blocking_read(4096).is_ok() {}
        black_box(held);
        drop(output);
        OutgoingBody::finish(body, None).unwrap();
    }
}

wasip2::http::proxy::export!(Component);
