//! A service of WASI 0.3. A GET is answered with what was asked, `/trap` not at all; any other request with its own body.

use wasip3::{
    exports::http::handler::Guest,
    http::types::{ErrorCode, Fields, Method, Request, Response},
    spawn_local, wit_future, wit_stream,
};

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (authority, path) = (request.get_authority().unwrap(), request.get_path_with_query().unwrap());
        assert_ne!(path, "/trap");
        let (_, trailers) = wit_future::new(|| Ok(None));
        if !matches!(request.get_method(), Method::Get) {
            let (_, done) = wit_future::new(|| Ok(()));
            let (body, _) = Request::consume_body(request, done);
            return Ok(Response::new(Fields::new(), Some(body), trailers).0);
        }
        let (mut writer, body) = wit_stream::new();
        // Written after the response was returned.
        spawn_local(async move {
            writer
                .write_all(format!("hello {authority}{path}\n").into_bytes())
                .await;
        });
        Ok(Response::new(Fields::new(), Some(body), trailers).0)
    }
}

wasip3::http::service::export!(Component);
