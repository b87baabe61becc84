//! Values that outlive a run.

use anyhow::Result;
use propeller_api::{Bucket, BucketScope, Grants};
use propeller_host::engine::{KeyValue, Policy};
use propeller_tests::scratch;
use serde_json::{Value, json};

use super::{Guest, checked};

#[tokio::test]
pub(crate) async fn keep_keeps_values_of_its_own_buckets() -> Result<()> {
    let scratch = scratch::folder("keyvalue")?;
    let mut keep = Guest::load("keep").await?;
    keep.means.keyvalue = Some(KeyValue::at(scratch.path().join("keyvalue.redb")));
    let grants = grants();
    let check = async |function: &str, args: Value, expected: Result<Value, &str>| -> Result<()> {
        let result = keep.try_call(function, args.clone(), &grants).await?;
        assert_eq!(result, expected.map_err(|text| json!(text)), "{function} {args}");
        Ok(())
    };
    check("count", json!(["own"]), Ok(json!(1))).await?;
    check("count", json!(["own"]), Ok(json!(2))).await?;
    check("count", json!(["shared"]), Ok(json!(1))).await?;
    check("count", json!(["other"]), Err("access denied")).await?;
    check("put", json!(["own", [["a", "one"], ["b", "two"]]]), Ok(json!(null))).await?;
    check("take", json!(["own", ["b", "c", "a"]]), Ok(json!(["two", null, "one"]))).await?;
    check("without", json!(["own", ["b"]]), Ok(json!(["a", "number"]))).await?;
    check("put", json!(["own", [["number", "many"]]]), Ok(json!(null))).await?;
    check(
        "count",
        json!(["own"]),
        Err("the value is no number, or would be too large for one"),
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_bucket_has_the_size_of_the_policy() -> Result<()> {
    let scratch = scratch::folder("keyvalue")?;
    let mut keep = Guest::load("keep").await?;
    keep.means.keyvalue = Some(KeyValue::at(scratch.path().join("keyvalue.redb")));
    let policy = Policy {
        bucket_size: "1Ki".parse()?,
        ..Policy::anything()
    };
    let args = json!(["own", [["key", "x".repeat(1024)]]]);
    let outcome = keep.run("put", args, checked(&grants(), &policy, &keep.means)?).await?;
    let failure = outcome.result.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        failure.contains("the bucket is full: it may hold 1024 bytes"),
        "{failure}"
    );
    Ok(())
}

fn grants() -> Grants {
    let bucket = |name: &str, scope| Bucket {
        bucket: name.to_owned(),
        scope,
    };
    Grants {
        keyvalue: vec![
            bucket("own", BucketScope::Task),
            bucket("shared", BucketScope::Namespace),
        ],
        ..Grants::default()
    }
}
