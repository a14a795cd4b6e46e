//! SIGHUP: engines that come and go while requests run.

use std::path::Path;

use crate::support::*;

fn configure(replica: &Replica, folder: &Path, engines: &[&Engine]) {
    let list: Vec<String> = engines.iter().map(|engine| format!("'{}'", url(engine))).collect();
    replica.configure(&format!(
        "server: {{listen: '127.0.0.1:0', adminListen: '127.0.0.1:0'}}\n\
         upstream: {{urls: [{}]}}\ntee: {{provider: simulated}}\ngpu: {{provider: none}}\n\
         ledger: {{url: 'sqlite://{}'}}\nservice: {{inputPrice: 100, outputPrice: 200}}\n",
        list.join(", "),
        folder.join("ledger.db").display(),
    ));
}

fn reload(replica: &Replica, folder: &Path, engines: &[&Engine]) {
    let told = |replica: &Replica| replica.log().matches("reload ended").count();
    let before = told(replica);
    configure(replica, folder, engines);
    replica.signal("HUP");
    wait_until("reloaded", SOON, || told(replica) > before);
}

#[test]
fn an_engine_that_is_taken_out_finishes_what_it_has_and_gets_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let (leaving, staying, new) = (gated(), quick(), quick());
    let mut replica = Replica::new(folder.path(), 0, "");
    configure(&replica, folder.path(), &[&leaving, &staying]);
    replica.start();
    let addr = replica.wait_until_ready();
    let mut waiting = Conn::open(addr);
    waiting.send("POST", CHAT, &[], ASK.as_bytes());
    leaving.wait_for_request();

    reload(&replica, folder.path(), &[&staying]);
    assert!(replica.log().contains("upstream.url, upstream.urls"), "{}", replica.log());
    (0..6).for_each(|_| assert_eq!(post(addr, CHAT, &[], ASK).status, 200));
    assert_eq!(seen(&[&leaving, &staying]), [1, 6]);
    assert!(replica.log().contains("engine gets nothing new"), "{}", replica.log());
    assert!(!replica.log().contains("engine drained"));
    leaving.open_gate();
    let answer = waiting.response();
    assert_eq!((answer.status, answer.complete), (200, true));
    wait_until("drained", SOON, || replica.log().contains("engine drained"));

    // Who comes is asked first, and gets its share then.
    reload(&replica, folder.path(), &[&staying, &new]);
    wait_until("a request at the new one", SOON, || {
        assert_eq!(post(addr, CHAT, &[], ASK).status, 200);
        new.requests() > 0
    });
    // All others at once.
    let other = quick();
    reload(&replica, folder.path(), &[&other]);
    let before = seen(&[&staying, &new]);
    (0..4).for_each(|_| assert_eq!(post(addr, CHAT, &[], ASK).status, 200));
    assert_eq!((seen(&[&staying, &new]), other.requests()), (before, 4));
    assert!(replica.run(&["ledger", "audit"]).status.success());
}
