//! A service of WASI 0.2. A GET is answered with what was asked and how many requests this instance has seen; any other request with its own body,
//! piece by piece.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::StreamError,
};

static SEEN: AtomicU32 = AtomicU32::new(0);

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let output = body.write().unwrap();
        if let Method::Get = request.method() {
            let (authority, path) = (request.authority().unwrap(), request.path_with_query().unwrap());
            let seen = SEEN.fetch_add(1, Relaxed) + 1;
            let text = format!("hello {authority}{path}, request {seen}\n");
            output.blocking_write_and_flush(text.as_bytes()).unwrap();
        } else {
            let incoming = request.consume().unwrap();
            let input = incoming.stream().unwrap();
            loop {
                match input.blocking_read(4096) {
                    Ok(bytes) => output.blocking_write_and_flush(&bytes).unwrap(),
                    Err(StreamError::Closed) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        drop(output);
        OutgoingBody::finish(body, None).unwrap();
        println!("said hello");
    }
}

wasip2::http::proxy::export!(Component);
