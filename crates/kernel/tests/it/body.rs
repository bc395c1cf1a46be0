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

#[tokio::test]
async fn a_client_that_goes_away_is_not_waited_for() {
    let place = crate::place::Place::new().await;
    let (_sender, body) = tenantry_kernel::channel(Some(10));
    let request = hyper::Request::builder().method("POST").uri("/").header("host", "sts.amazonaws.com").body(body).unwrap();
    let mut answer = Box::pin(place.kernel.serve(request, tenantry_kernel::Arrival::default()));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(answer.as_mut().poll(cx).is_pending())).await);
    assert_eq!(place.kernel.in_flight(), 1);
    drop(answer);
    assert_eq!(place.kernel.in_flight(), 0);
}
