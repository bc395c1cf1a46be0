//! Bodies fed by channels.

use bytes::Bytes;

#[tokio::test]
async fn a_promised_length_that_does_not_arrive_is_an_error() {
    let (sender, body) = tenantry_kernel::channel(Some(10));
    sender.send(Ok(Bytes::from_static(b"short"))).await.unwrap();
    drop(sender);
    assert!(tenantry_kernel::collect(body, 100).await.is_err());
}

#[tokio::test]
async fn no_more_than_the_limit_is_held() {
    for (limit, held) in [(10, true), (9, false)] {
        let (sender, body) = tenantry_kernel::channel(None);
        for _ in 0..2 {
            sender.send(Ok(Bytes::from_static(b"12345"))).await.unwrap();
        }
        drop(sender);
        assert_eq!(tenantry_kernel::collect(body, limit).await.unwrap().is_some(), held);
    }
    assert!(tenantry_kernel::collect(tenantry_kernel::full(vec![0; 11]), 10).await.unwrap().is_none());
}
