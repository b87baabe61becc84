//! Greets in JSON, by `wasi:http` 0.3. `routes.rs` says what is answered; here is how a request comes in and a response goes out.

mod routes;

use routes::{Answer, answer};
use wasip3::{
    exports::http::handler::Guest,
    http::types::{ErrorCode, Fields, Method, Request, Response},
    spawn_local, wit_future, wit_stream,
};

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let method = match request.get_method() {
            Method::Get => "GET",
            Method::Post => "POST",
            _ => "other",
        };
        let path = request.get_path_with_query().unwrap_or_default();
        Ok(response(answer(method, &path, &body(request).await)))
    }
}

/// All that the client sends. What doesn't fit in the memory of the service ends this request and no other.
async fn body(request: Request) -> Vec<u8> {
    let (_, received) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Request::consume_body(request, received);
    body.collect().await
}

fn response(Answer { status, body }: Answer) -> Response {
    let json = [b"application/json".to_vec()];
    let headers = Fields::new();
    headers
        .set("content-type", &json)
        .expect("a header of the service's own");
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    response.set_status_code(status).expect("a status of the service's own");
    // The body is read when the response has been returned.
    spawn_local(async move {
        writer.write_all(format!("{body}\n").into_bytes()).await;
    });
    response
}

wasip3::http::service::export!(Component);
