use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::{Service as _, ServiceExt as _};

use super::*;

/// What a request became: status and body, or the words of an error, or nothing within a moment.
async fn ask(
    faults: &Faults,
    carried_out: &Arc<AtomicUsize>,
    path: &str,
) -> Option<Result<(u16, String), String>> {
    let carried_out = Arc::clone(carried_out);
    let service = tower::service_fn(move |_: Request<()>| {
        carried_out.fetch_add(1, Ordering::AcqRel);
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"0123456789")))) }
    });
    let mut service = faults.layer(service);
    let asked = async {
        let request = Request::delete(path).body(()).unwrap();
        let response = service.ready().await.unwrap().call(request).await.map_err(|e| e.to_string())?;
        let code = response.status();
        let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok((code.as_u16(), String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(Duration::from_millis(20), asked).await.ok()
}

fn call(occurrence: usize) -> Call {
    Call {
        stage: "going",
        verb: "delete".to_owned(),
        kind: "http".to_owned(),
        object: "/zones/{zone}".to_owned(),
        occurrence,
    }
}

#[tokio::test]
async fn a_fault_strikes_at_one_call_and_no_other() {
    let (faults, done) = (Faults::new(by_path, &[("a1b2", "{zone}")]), Arc::default());
    faults.stage("going");
    faults.arm(call(2), Fault::Internal);
    let healthy = Some(Ok((200, "0123456789".to_owned())));
    assert_eq!(ask(&faults, &done, "/zones/a1b2").await, healthy);
    assert!(!faults.struck());
    let (code, body) = ask(&faults, &done, "/zones/a1b2").await.unwrap().unwrap();
    assert_eq!((code, body.contains("InternalError")), (StatusCode::INTERNAL_SERVER_ERROR.as_u16(), true));
    assert!(faults.struck());
    assert_eq!(ask(&faults, &done, "/zones/a1b2").await, healthy);
    assert_eq!(done.load(Ordering::Acquire), 2, "what was refused was not carried out");
    assert_eq!(faults.calls(), [call(1), call(2), call(3)]);
    assert_eq!(faults.counts(), (3, 3));
}

#[tokio::test]
async fn an_answer_is_cut_or_lost_after_the_call_was_carried_out_and_a_request_before() {
    for (fault, times) in [(Fault::AnswerCut, 1), (Fault::AnswerLost, 1), (Fault::RequestLost, 0)] {
        let (faults, done) = (Faults::new(by_path, &[("a1b2", "{zone}")]), Arc::default());
        faults.stage("going");
        faults.arm(call(1), fault);
        let answer = ask(&faults, &done, "/zones/a1b2").await;
        match fault {
            Fault::AnswerCut => assert!(answer.unwrap().unwrap_err().contains("cut")),
            _ => assert_eq!(answer, None, "nothing is answered"),
        }
        assert_eq!(done.load(Ordering::Acquire), times, "{fault:?}");
    }
}

#[tokio::test]
async fn a_killed_program_is_told_and_a_paused_one_waits() {
    let (faults, done) = (Faults::new(by_path, &[("a1b2", "{zone}")]), Arc::default());
    faults.stage("going");
    faults.arm(call(1), Fault::KilledAfter);
    assert_eq!(ask(&faults, &done, "/zones/a1b2").await, None);
    tokio::time::timeout(Duration::from_secs(5), faults.killed()).await.unwrap();
    assert_eq!(done.load(Ordering::Acquire), 1);
    faults.pause(true);
    assert_eq!(ask(&faults, &done, "/zones/a1b2").await, None);
    faults.pause(false);
    assert!(ask(&faults, &done, "/zones/a1b2").await.is_some());
}
