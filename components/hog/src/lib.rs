//! Makes its host hold what it can, each until the host refuses.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world hog {
            /// Ask for this many random bytes.
            export random-bytes: func(length: u64) -> u64;

            /// Hold bodies of requests that are never sent, each with as much in it as it takes.
            export bodies: func();

            /// Hold sets of HTTP fields, each nearly as large as it may be.
            export fields: func();

            /// Hold timers.
            export timers: func();

            /// Pass one list of this many bytes to the host.
            export pass-list: func(length: u32);
        }
    ",
});

use wasip2::{
    clocks::monotonic_clock::subscribe_duration,
    http::types::{Fields, OutgoingRequest},
    random::random::get_random_bytes,
};

struct Component;

impl Guest for Component {
    fn random_bytes(length: u64) -> u64 {
        get_random_bytes(length).len() as u64
    }

    fn bodies() {
        let mut held = Vec::new();
        loop {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body().expect("a new request has a body");
            let stream = body.write().expect("a new body has a stream");
            while let room @ 1.. = stream.check_write().expect("it is open") {
                stream.write(&vec![0; room as usize]).expect("there is room");
            }
            held.push((request, body, stream));
        }
    }

    fn fields() {
        let mut held = Vec::new();
        loop {
            let fields = Fields::new();
            for _ in 0..12 {
                fields.append("name", &[b'x'; 4096]).expect("it is below the limit");
            }
            held.push(fields);
        }
    }

    fn timers() {
        let mut held = Vec::new();
        loop {
            held.push(subscribe_duration(u64::MAX));
        }
    }

    fn pass_list(length: u32) {
        let fields = Fields::new();
        let _ = fields.append("name", &vec![b'x'; length as usize]);
    }
}

export!(Component);
