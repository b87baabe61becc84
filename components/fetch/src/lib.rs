//! Asks over HTTP, by `wasi:http` 0.2.

#![allow(
    clippy::too_many_arguments,
    reason = "the generated code flattens a whole option of HTTP into parameters"
)]

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world fetch {
            /// Send the text to a host, and return the body of what it answers, or the code of the error.
            export post: func(scheme: string, authority: string, path: string, text: string) -> result<string, string>;

            /// Ask nobody.
            export shout: func(text: string) -> string;
        }
    ",
});

use wasip2::{
    http::{
        outgoing_handler,
        types::{ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme},
    },
    io::streams::StreamError,
};

struct Component;

impl Guest for Component {
    fn post(scheme: String, authority: String, path: String, text: String) -> Result<String, String> {
        let response = send(&scheme, &authority, &path, &text).map_err(|code| format!("{code:?}"))?;
        let body = response.consume().map_err(|()| "the body is gone")?;
        let answer = read(&body);
        drop(IncomingBody::finish(body));
        answer
    }

    fn shout(text: String) -> String {
        text.to_uppercase()
    }
}

fn send(scheme: &str, authority: &str, path: &str, text: &str) -> Result<IncomingResponse, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let scheme = match scheme {
        "http" => Scheme::Http,
        _ => Scheme::Https,
    };
    let set = request
        .set_method(&Method::Post)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    let body = set
        .and_then(|()| request.body())
        .expect("a new request takes all of it");
    let answer = outgoing_handler::handle(request, None)?;
    let stream = body.write().expect("a new body has a stream");
    for chunk in text.as_bytes().chunks(4096) {
        if stream.blocking_write_and_flush(chunk).is_err() {
            break;
        }
    }
    drop(stream);
    drop(OutgoingBody::finish(body, None));
    answer.subscribe().block();
    answer.get().expect("it is there").expect("it was not taken yet")
}

fn read(body: &IncomingBody) -> Result<String, String> {
    let stream = body.stream().map_err(|()| "the stream is gone")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

export!(Component);
