//! More sign-ins than people begin.

use tiergate_testbed::{Provider, request};

use super::stage::{service, sign_in};

#[test]
fn a_flood_of_sign_ins_is_turned_away_and_concerns_nobody_else() {
    let provider = Provider::start().unwrap();
    let tiergate = service(&provider, "memory").start().unwrap();
    let begin = |forwarded_for: &str| {
        let headers = [("X-Forwarded-For", forwarded_for), ("Sec-Fetch-Mode", "navigate")];
        request(tiergate.http(), "GET", "/_auth/login?rd=%2Fapps%2Fx", &headers).unwrap()
    };
    // What a client writes itself stands before what the proxy adds.
    let answers: Vec<_> = (0..3_010).map(|n| begin(&format!("192.0.2.{}, 198.51.100.7", n % 250))).collect();
    let turned_away: Vec<_> = answers.iter().skip_while(|answer| answer.status == 303).collect();
    assert_eq!(turned_away.len(), 10);
    for answer in turned_away {
        assert_eq!((answer.status, answer.header("set-cookie"), answer.header("location")), (429, None, None));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=70).contains(&seconds), "{seconds}");
    }
    assert_eq!(begin("198.51.100.8").status, 303);
    assert_eq!(begin("198.51.100.7, 127.0.0.1").status, 429);
    sign_in(&tiergate, "devel").unwrap();
    let metrics = request(tiergate.admin(), "GET", "/metrics", &[]).unwrap().text();
    let counted = "tiergate_login_total{provider=\"main\",result=\"busy_client\"} 11";
    assert!(metrics.contains(counted), "{metrics}");
}
