//! Asks a web server by `wasi:http` 0.3. Whether it may is decided by who runs it.

wit_bindgen::generate!({ path: "../../../wit/examples", world: "outgoing-http" });

use exports::propeller::examples::web::{Answer, Guest, Problem};
use wasip3::{
    http::{
        client,
        types::{ErrorCode, Fields, Request, Response, Scheme},
    },
    wit_future,
};

struct Component;

impl Guest for Component {
    async fn get(url: String) -> Result<Answer, Problem> {
        let request = request(&url).ok_or(Problem::NotAUrl(url))?;
        let response = client::send(request).await.map_err(problem)?;
        let status = response.get_status_code();
        let body = String::from_utf8(body(response).await).map_err(|_| Problem::NotText)?;
        Ok(Answer { status, body })
    }
}

fn request(url: &str) -> Option<Request> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })));
    set.ok().map(|()| request)
}

async fn body(response: Response) -> Vec<u8> {
    let (_, received) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Response::consume_body(response, received);
    body.collect().await
}

fn problem(code: ErrorCode) -> Problem {
    match code {
        ErrorCode::HttpRequestDenied => Problem::Denied,
        code => Problem::Failed(format!("{code:?}")),
    }
}

export!(Component);
