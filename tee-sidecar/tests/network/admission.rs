//! Whose money is enough.

use std::sync::Barrier;
use std::time::Duration;

use broker_core::testing::{Action, ONE, SimChain, SimOptions, Status};
use broker_core::{LedgerReader, Neuron, Tariff};

use crate::support::{
    CHAT, Conn, Engine, PREFIX, SOON, Step, World, ask, bounds, flat, post, wait_until, whole,
};

fn refusal(world: &World, bearer: &str) -> String {
    let answer = world.chat(CHAT, bearer);
    assert_eq!(answer.status, 400, "{}", answer.text());
    flat(&answer).strip_prefix(PREFIX).unwrap().to_owned()
}

#[test]
fn without_an_account_or_an_acknowledgement_nothing_is_served() {
    let world = World::start();
    let user = world.user(1, 0);
    let text = "get account from contract, account not exist";
    assert_eq!(refusal(&world, &user.bearer()), text);
    // Only who has nothing left can take an acknowledgement back.
    let user = world.user(2, ONE);
    world.chain.request_refund(user.id).unwrap();
    world.chain.advance(world.chain.options().lock_time_secs + 1);
    world.chain.process_refund(user.id).unwrap();
    world.chain.act(Action::Acknowledge { user: user.id, yes: false }).unwrap();
    let text = "user not acknowledge the provider, please use acknowledgeProviderSigner function \
                in sdk first, it will take effect in 2 minutes";
    assert_eq!(refusal(&world, &user.bearer()), text);
    assert!(world.engine.seen().is_empty());
    assert_eq!(world.sidecar.reader().audit().unwrap().transfers, 0);
}

// Anyone can make a wallet: without an escrow it holds no place while it pretends to send a body.
#[test]
fn people_without_an_account_hold_no_place() {
    let world = World::with(SimChain::new(SimOptions::default()), |settings| {
        settings.limits.concurrent_max = 2;
    });
    let funded = world.user(1, ONE);
    let strangers: Vec<_> = (2..8).map(|number| world.user(number, 0)).collect();
    let mut open = Vec::new();
    for path in [CHAT, "/v1/estimate"] {
        for stranger in &strangers {
            let bearer = stranger.bearer();
            let headers = [("authorization", bearer.as_str()), ("content-length", "500")];
            let mut conn = Conn::open(world.sidecar.addr);
            conn.send("POST", path, &headers, b"{");
            assert_eq!(conn.head().status, 400);
            open.push(conn);
        }
    }
    assert_eq!(world.chat(CHAT, &funded.bearer()).status, 200);
}

// X8: what could not be collected is not served.
#[test]
fn without_the_owner_s_acknowledgement_of_the_signer_nothing_is_served() {
    let engine = Engine::start(|_| Vec::new());
    let chain = SimChain::new(SimOptions::default());
    let world = World::unacknowledged(engine, chain);
    let user = world.user(1, ONE);
    assert_eq!(refusal(&world, &user.bearer()), "service not acknowledge the tee signer");
    let answer = world.chat("/v1/chat/completions", &user.bearer());
    assert_eq!((answer.status, answer.error_type().as_str()), (403, "forbidden"));
    let auth = [("authorization", user.bearer())];
    let auth = auth.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = post(world.sidecar.addr, "/v1/estimate", &auth, ask());
    assert_eq!(answer.status, 503, "prices that nobody may be charged: {}", answer.text());
    assert!(world.engine.seen().is_empty());
}

#[test]
fn the_reserve_is_asked_for_in_exact_amounts_and_a_deposit_is_seen_at_once() {
    let chain = SimChain::new(SimOptions::default());
    let world = World::with(chain, |settings| {
        settings.settlement.min_reserve = Neuron::new(ONE + 1);
        settings.settlement.every_secs = 3600;
    });
    let user = world.user(1, ONE);
    let provider = world.chain.options().provider;
    let text = format!(
        "insufficient balance: your locked balance is 1 0G, but the required minimum is \
         1.000000000000000001 0G (breakdown: minimum reserve 1.000000000000000001 0G + unsettled \
         fees 0 0G + current request fee 0 0G). Please add more funds with: 0g-compute-cli \
         transfer-fund --provider {provider} --amount <amount>"
    );
    assert_eq!(refusal(&world, &user.bearer()), text);
    let answer = world.chat("/v1/chat/completions", &user.bearer());
    assert_eq!((answer.status, answer.error_type().as_str()), (402, "insufficient_credits"));
    assert!(world.engine.seen().is_empty());
    world.chain.deposit(user.id, Neuron::new(1)).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(world.chat(CHAT, &user.bearer()).status, 200);
    // The fee of 40 neuron now stands against the reserve.
    let text = refusal(&world, &user.bearer());
    assert!(text.contains("unsettled fees 0.00000000000000004 0G"), "{text}");
}

// R7: money that is asked back is not spent.
#[test]
fn a_refund_that_was_asked_for_covers_nothing() {
    let world = World::start();
    let user = world.user(1, ONE);
    world.chain.request_refund(user.id).unwrap();
    let text = refusal(&world, &user.bearer());
    let (input, output) = bounds();
    let needed = format!("{:018}", input + 2 * output);
    let needed = needed.trim_end_matches('0');
    assert!(text.contains("your locked balance is 0 0G"), "{text}");
    assert!(text.contains(&format!("minimum is 0.{needed} 0G")), "{text}");
    assert!(text.contains(&format!("current request fee 0.{needed} 0G")), "{text}");
    assert!(world.engine.seen().is_empty());
}

// M4: a hundred at once with money for ten; what they owe is collected in whole.
#[test]
fn a_hundred_at_once_never_overspend_an_escrow_for_ten() {
    let (price, (input, output)) = (1_000_000_000_000_000, bounds());
    let ceiling = (input + 2 * output) * price;
    let answer = format!(
        "{{\"choices\":[],\"usage\":{{\"prompt_tokens\":{input},\
         \"completion_tokens\":{output}}}}}"
    );
    let engine = Engine::start(move |_| {
        let pause = Step::Pause(Duration::from_millis(300));
        vec![pause, Step::Raw(whole(200, answer.as_bytes()))]
    });
    let world = World::before(engine, SimChain::new(SimOptions::default()), |settings| {
        settings.service.tariff = Tariff::per_token(Neuron::new(price), Neuron::new(2 * price));
        settings.settlement.every_secs = 1;
    });
    let user = world.user(1, 10 * ceiling + 1);
    let (addr, bearer) = (world.sidecar.addr, user.bearer());
    let barrier = Barrier::new(100);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            post(addr, CHAT, &[("authorization", &bearer)], ask()).status
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let counted = |status| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!((counted(200), counted(400)), (10, 90), "{statuses:?}");
    assert_eq!(world.engine.seen().len(), 10);
    wait_until("all is paid", SOON, || {
        world.chain.paid().get(&user.id) == Some(&Neuron::new(10 * ceiling))
    });
    assert!(world.chain.results().iter().all(|landed| landed.status == Status::Success));
    wait_until("the books say so", SOON, || {
        let account = world.sidecar.reader().account(&user.id).unwrap();
        account.owed() == Some(Neuron::ZERO) && account.held.is_zero()
    });
    world.sidecar.audit_is_clean();
}
