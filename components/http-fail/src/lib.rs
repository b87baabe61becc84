//! A service that fails as its path says: `/trap`, `/spin`, `/hoard`, `/silent`, `/half`, `/exit`. Any other path is answered.

use std::hint::{black_box, spin_loop};

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
};

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match request.path_with_query().unwrap().as_str() {
            "/trap" => fall_over_the_edge(),
            "/spin" => loop {
                spin_loop();
            },
            "/hoard" => loop {
                std::mem::forget(black_box(vec![1_u8; 1 << 20]));
            },
            "/silent" => {}
            "/exit" => std::process::exit(1),
            path => {
                let half = path == "/half";
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body().unwrap();
                ResponseOutparam::set(out, Ok(response));
                let output = body.write().unwrap();
                output.blocking_write_and_flush(b"fine\n").unwrap();
                if half {
                    fall_over_the_edge();
                }
                drop(output);
                OutgoingBody::finish(body, None).unwrap();
            }
        }
    }
}

#[inline(never)]
fn fall_over_the_edge() {
    panic!("over the edge");
}

wasip2::http::proxy::export!(Component);
