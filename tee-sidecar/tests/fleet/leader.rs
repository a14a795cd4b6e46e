//! Of two sidecars on one database one settles; the other serves all the same, says so, and takes
//! over.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use broker_core::testing::{ONE, SimChain, SimOptions};
use broker_core::{
    Chain, Command as Cmd, Cover, Digest32, Fingerprint, Hold, Ledger, Neuron, PostgresLedger,
    ReceiptId, ReleaseReason, RequestKey, Tariff, Timestamp, UserId,
};
use tee_sidecar::config::{Auth, LedgerUrl, Secret, Settings};

use crate::moody::Moody;
use crate::network::{
    CHAT, Conn, Engine, MODEL, Response, SOON, Sidecar, Step, World, ask, flat, get, post,
    settings, whole,
};
use crate::pg;
use crate::support::{program, said, wait_until};

fn shared(settings: &mut Settings, url: &str, state_dir: PathBuf) {
    settings.ledger = LedgerUrl::Postgres(Secret::new(url.to_owned()));
    settings.state_dir = Some(state_dir);
    settings.settlement.every_secs = 3600;
    settings.settlement.policy.owed_percent = 100;
}

fn notes(sidecar: &Sidecar) -> Option<String> {
    let ready = get(sidecar.admin, "/readyz", &[]);
    let body = ready.json();
    (ready.status == 200).then(|| body["notes"][0].as_str().unwrap_or_default().to_owned())
}

fn leads(sidecar: &Sidecar) -> bool {
    notes(sidecar).is_some_and(|notes| notes.is_empty())
}

fn chat(sidecar: &Sidecar, bearer: &str) -> Response {
    post(sidecar.addr, CHAT, &[("authorization", bearer)], ask())
}

fn settle(sidecar: &Sidecar) -> Response {
    post(sidecar.admin, "/v1/settle", &[], "")
}

/// A world with the lead on a new database, and another sidecar on it; both see `chain` through
/// `served` and pass `every_secs`.
fn two(
    database: &pg::Database<'_>,
    chain: &SimChain,
    served: Arc<dyn Chain>,
    every_secs: u64,
) -> (World, Sidecar) {
    let mut folder = PathBuf::new();
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10}}";
    let engine = Engine::start(|_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
    let first = World::behind(engine, chain.clone(), served.clone(), |settings| {
        folder = settings.state_dir();
        shared(settings, &database.url(), folder.clone());
        settings.settlement.every_secs = every_secs;
    });
    let mut other = settings(first.engine.addr, PathBuf::new());
    other.auth = Auth::SessionTokens;
    other.settlement.min_reserve = Neuron::ZERO;
    shared(&mut other, &database.url(), folder);
    other.settlement.every_secs = every_secs;
    wait_until("the first one leads", SOON, || leads(&first.sidecar));
    let second = Sidecar::run_on(other, Some(served));
    wait_until("the second one is ready", SOON, || notes(&second).is_some());
    (first, second)
}

#[test]
fn one_of_two_settles_and_the_other_serves_and_takes_over() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let chain = SimChain::new(SimOptions::default());
    let (mut first, second) = two(&database, &chain, Arc::new(chain.clone()), 3600);
    let follows = "this sidecar does not have the lead, and collects no fees";
    assert_eq!(notes(&second).unwrap(), follows);

    // Paid work is taken by both, out of one escrow.
    let user = first.user(1, ONE);
    let bearer = user.bearer();
    for sidecar in [&first.sidecar, &second] {
        assert_eq!(chat(sidecar, &bearer).status, 200);
    }
    for sidecar in [&first.sidecar, &second] {
        let path = format!("/v1/user/{}/unsettledfee", user.address);
        let told = get(sidecar.addr, &path, &[("authorization", &bearer)]);
        assert_eq!(told.text(), "{\"unsettledFee\":\"80\"}");
    }

    // Only one collects.
    let refused = settle(&second);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("5"));
    let text = flat(&refused);
    assert!(
        text.starts_with("Provider: settle fee: this sidecar does not have the lead"),
        "{text}"
    );
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), format!("server: {{adminListen: '{}'}}\n", second.admin))
        .unwrap();
    let mut command = Command::new(program());
    command.args(["ledger", "settle", "--config"]).arg(config.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("does not have the lead"), "{}", said(&output));
    for (sidecar, leads) in [(&first.sidecar, "1.0"), (&second, "0.0")] {
        let metrics = get(sidecar.admin, "/metrics", &[]).text();
        assert!(metrics.contains(&format!("tee_sidecar_settlement_leader {leads}")), "{metrics}");
    }
    let paid = |neuron| chain.paid().get(&user.id) == Some(&Neuron::new(neuron));
    assert_eq!(settle(&first.sidecar).status, 202);
    wait_until("the first one has collected", SOON, || paid(80));

    // The leader leaves, and the other one goes on where it was.
    assert_eq!(chat(&second, &bearer).status, 200);
    first.sidecar.stop();
    wait_until("the second one leads", SOON, || leads(&second));
    assert_eq!(chat(&second, &bearer).status, 200);
    assert_eq!(settle(&second).status, 202);
    wait_until("the second one has collected", SOON, || paid(160));
    drop(second);
}

#[test]
fn who_does_not_lead_takes_no_paid_work_either_while_the_contract_refuses_vouchers() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let chain = SimChain::new(SimOptions::default());
    let moody = Arc::new(Moody::of(&chain));
    let (first, second) = two(&database, &chain, moody.clone(), 1);
    let bearer = first.user(1, ONE).bearer();
    assert_eq!(chat(&second, &bearer).status, 200);
    moody.refuse(true);
    assert_eq!(settle(&first.sidecar).status, 202);
    let why = "the contract finds another signer in it";
    for sidecar in [&first.sidecar, &second] {
        wait_until("it is not ready", SOON, || notes(sidecar).is_none());
        let ready = get(sidecar.admin, "/readyz", &[]).text();
        assert!(ready.contains(why), "{ready}");
        let refused = chat(sidecar, &bearer);
        assert_eq!(refused.status, 503, "{}", refused.text());
        let metrics = get(sidecar.admin, "/metrics", &[]).text();
        assert!(metrics.contains("tee_sidecar_vouchers_refused 1.0"), "{metrics}");
    }
    moody.refuse(false);
    wait_until("it is ready again", SOON, || notes(&second).is_some());
    assert_eq!(chat(&second, &bearer).status, 200);
    let metrics = get(second.admin, "/metrics", &[]).text();
    for line in ["settlement_leader 0.0", "settlement_passes_total 0", "vouchers_refused 0.0"] {
        assert!(metrics.contains(&format!("tee_sidecar_{line}")), "{line}: {metrics}");
    }
}

/// What another sidecar has in flight.
fn hold(user: UserId) -> Hold {
    Hold {
        key: RequestKey(Digest32([1; 32])),
        fingerprint: Fingerprint(Digest32([1; 32])),
        receipt: ReceiptId::mint(Timestamp(1)),
        user,
        amount: Neuron::new(10),
        tariff: Tariff::per_token(Neuron::new(1), Neuron::new(1)),
        expires: Timestamp(u64::from(u32::MAX) * 1000),
    }
}

#[test]
fn a_service_stays_while_another_sidecar_has_work_in_flight() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let world = World::with(SimChain::new(SimOptions::default()), |settings| {
        let beside = settings.state_dir();
        shared(settings, &database.url(), beside);
        settings.service.serving_url = Some("http://127.0.0.1".into());
    });
    wait_until("it leads", SOON, || leads(&world.sidecar));
    let registration = serde_json::json!({
        "URL": format!("http://{}", world.engine.addr), "Type": "chatbot", "Name": "served",
        "Model": MODEL, "inputPrice": 1, "outputPrice": 2,
    });
    let json = [("content-type", "application/json")];
    let registered = post(world.sidecar.admin, "/v1/service", &json, registration.to_string());
    assert_eq!(registered.status, 204, "{}", registered.text());

    let mut other = PostgresLedger::open(&database.url()).unwrap();
    let user = UserId::named("a");
    let hold = hold(user);
    let key = hold.key;
    let begun = [Cmd::Mirror { user, cover: Cover::Unlimited }, Cmd::Reserve(hold)];
    let decided = other.apply(&begun, Timestamp(1)).unwrap();
    assert!(decided.iter().all(Result::is_ok), "{decided:?}");
    let remove = || {
        let mut connection = Conn::open(world.sidecar.admin);
        connection.send("DELETE", "/v1/service/served", &[], b"");
        connection.response()
    };
    let refused = remove();
    assert_eq!(refused.status, 400, "{}", refused.text());
    let text = "requests of 1 users are in flight on a sidecar of this ledger";
    assert!(refused.text().contains(text), "{}", refused.text());
    let freed = Cmd::Release { key, why: ReleaseReason::Crashed };
    other.apply(&[freed], Timestamp(2)).unwrap().remove(0).unwrap();
    let removed = remove();
    assert_eq!(removed.status, 202, "{}", removed.text());
}
