//! Keeps values, by `wasi:keyvalue`.

wit_bindgen::generate!({
    path: "../../wit/keyvalue",
    generate_all,
    inline: "
        package propeller:guests;

        world keep {
            include wasi:keyvalue/imports@0.2.0-draft;

            /// Add one to a number in a bucket.
            export count: func(bucket: string) -> result<u64, string>;

            /// Keep texts, all at once.
            export put: func(bucket: string, entries: list<tuple<string, string>>) -> result<_, string>;

            /// The texts of keys.
            export take: func(bucket: string, keys: list<string>) -> result<list<option<string>>, string>;

            /// Remove some keys and list the others.
            export without: func(bucket: string, keys: list<string>) -> result<list<string>, string>;
        }
    ",
});

use wasi::keyvalue::{
    atomics, batch,
    store::{self, Bucket, Error},
};

struct Component;

impl Guest for Component {
    fn count(bucket: String) -> Result<u64, String> {
        atomics::increment(&open(&bucket)?, "number", 1).map_err(said)
    }

    fn put(bucket: String, entries: Vec<(String, String)>) -> Result<(), String> {
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(key, text)| (key, text.into_bytes()))
            .collect();
        batch::set_many(&open(&bucket)?, &entries).map_err(said)
    }

    fn take(bucket: String, keys: Vec<String>) -> Result<Vec<Option<String>>, String> {
        let found = batch::get_many(&open(&bucket)?, &keys).map_err(said)?;
        let text = |(_, value)| String::from_utf8(value).unwrap_or_default();
        Ok(found.into_iter().map(|pair| pair.map(text)).collect())
    }

    fn without(bucket: String, keys: Vec<String>) -> Result<Vec<String>, String> {
        let bucket = open(&bucket)?;
        for key in keys {
            bucket.delete(&key).map_err(said)?;
        }
        Ok(bucket.list_keys(None).map_err(said)?.keys)
    }
}

fn open(bucket: &str) -> Result<Bucket, String> {
    store::open(bucket).map_err(said)
}

fn said(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no such store".to_owned(),
        Error::AccessDenied => "access denied".to_owned(),
        Error::Other(text) => text,
    }
}

export!(Component);
