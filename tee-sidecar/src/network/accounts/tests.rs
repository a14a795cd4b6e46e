use broker_core::chain::ServiceParams;
use broker_core::testing::{Fault as Weather, ONE, Pace, SimChain, SimOptions};
use broker_core::{
    Binding, Command, Digest32, LocalSigner, Neuron, Signer, SqliteLedger, SqliteReader,
    SystemClock, Voucher, spawn_writer,
};
use tokio::time::advance;

use super::*;

struct World {
    chain: SimChain,
    accounts: Arc<Accounts>,
    store: LedgerStore,
    _folder: tempfile::TempDir,
}

const USER: UserId = UserId::new([7; 20]);

impl World {
    /// A chain that makes a block for each call, so that its height counts the calls.
    async fn start() -> Self {
        let chain = SimChain::new(SimOptions { pace: Pace::Ticking(1), ..SimOptions::default() });
        chain.deposit(USER, Neuron::new(ONE)).unwrap();
        chain.mine(1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = SqliteLedger::open(&path).unwrap();
        let handle = spawn_writer(Box::new(ledger), Arc::new(SystemClock));
        let binding = Binding { domain: chain.domain(), provider: chain.provider() };
        handle.apply(Command::Bind(binding)).await.unwrap().unwrap();
        let reader = Arc::new(SqliteReader::open(&path).unwrap());
        let store = LedgerStore { handle, reader };
        let accounts = Arc::new(Accounts::new(Arc::new(chain.clone()), store.clone()));
        Self { chain, accounts, store, _folder: folder }
    }

    /// Calls of the chain while this runs.
    async fn calls<T>(&self, work: impl Future<Output = T>) -> (u64, T) {
        let before = self.chain.latest().number;
        let done = work.await;
        (self.chain.latest().number - before, done)
    }

    fn cover(&self) -> u128 {
        self.store.reader.account(&USER).unwrap().cover.get()
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_read_once_a_minute_and_once_for_all_who_wait() {
    let world = World::start().await;
    let views = (0..50).map(|_| world.accounts.view(USER, None));
    let (calls, views) = world.calls(futures_util::future::join_all(views)).await;
    assert!(views.iter().all(|view| view == &views[0] && view.is_ok()));
    let (alone, _) = world.calls(world.chain.account(USER)).await;
    assert_eq!(calls, alone);
    assert_eq!(world.cover(), ONE);
    assert_eq!(world.calls(world.accounts.view(USER, None)).await.0, 0);
    advance(FRESH + Duration::from_millis(1)).await;
    assert_eq!(world.calls(world.accounts.view(USER, None)).await.0, alone);
}

#[tokio::test(start_paused = true)]
async fn money_is_looked_for_again_when_asked_but_not_without_end() {
    let world = World::start().await;
    world.accounts.view(USER, None).await.unwrap();
    world.chain.deposit(USER, Neuron::new(5)).unwrap();
    world.chain.mine(1);
    assert_eq!(world.calls(world.accounts.reread(USER)).await.0, 0, "just read");
    advance(REREAD_PAUSE + Duration::from_millis(1)).await;
    world.accounts.reread(USER).await.unwrap();
    assert_eq!(world.cover(), ONE + 5);
}

#[tokio::test(start_paused = true)]
async fn without_the_chain_what_is_known_serves_for_two_minutes_and_then_nothing_is_said() {
    let world = World::start().await;
    let known = world.accounts.view(USER, None).await.unwrap();
    world.chain.inject(Weather::Down(u32::MAX));
    for _ in 0..3 {
        advance(Duration::from_secs(39)).await;
        assert_eq!(world.accounts.view(USER, None).await, Ok(known));
    }
    assert_eq!(world.accounts.reread(USER).await, Err(unknown()), "an old view is no answer");
    advance(Duration::from_secs(5)).await;
    assert_eq!(world.accounts.view(USER, None).await, Err(unknown()));
    assert_eq!(world.accounts.view(UserId::new([9; 20]), None).await, Err(unknown()));
    world.chain.calm();
}

#[tokio::test(start_paused = true)]
async fn who_has_no_account_leaves_nothing_in_the_ledger() {
    let world = World::start().await;
    let nobody = UserId::new([9; 20]);
    assert_eq!(world.accounts.view(nobody, None).await.unwrap().latest, None);
    assert_eq!(world.store.reader.statement(&nobody).unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn one_peer_asks_for_a_few_unknown_users_and_for_known_ones_as_it_likes() {
    let world = World::start().await;
    let peer = Some("192.0.2.1".parse().unwrap());
    world.accounts.view(USER, peer).await.unwrap();
    let mut served = 0;
    for number in 100..200 {
        match world.accounts.view(UserId::new([number; 20]), peer).await {
            Ok(_) => served += 1,
            Err(fault) => assert_eq!(fault.status(), 429),
        }
    }
    assert_eq!(served, 19);
    assert!(world.accounts.view(USER, peer).await.is_ok());
    let other = Some("192.0.2.2".parse().unwrap());
    assert!(world.accounts.view(UserId::new([250; 20]), other).await.is_ok());
}

// The ledger is older than the chain, or someone else has the key: nothing is served any more.
#[tokio::test(start_paused = true)]
async fn a_voucher_that_the_ledger_never_made_freezes_its_user() {
    let world = World::start().await;
    let signer = LocalSigner::from_secret(&[3; 32]).unwrap();
    let tee_signer = signer.address();
    let service = ServiceParams { tee_signer, ..ServiceParams::default() };
    world.chain.register(service).await.unwrap();
    world.chain.owner_acknowledges(true).unwrap();
    world.accounts.view(USER, None).await.unwrap();
    let voucher = Voucher {
        user: USER,
        provider: world.chain.provider(),
        total: Neuron::new(1),
        requests_hash: Digest32([1; 32]),
        nonce: 1_000,
    };
    world.chain.host_sends(voucher.sign(&world.chain.domain(), &signer).unwrap());
    world.chain.mine(2);
    assert_eq!(world.chain.paid().get(&USER), Some(&Neuron::new(1)));
    assert!(!world.store.reader.account(&USER).unwrap().frozen);
    advance(FRESH + Duration::from_millis(1)).await;
    world.accounts.view(USER, None).await.unwrap();
    assert!(world.store.reader.account(&USER).unwrap().frozen);
}
