//! What the writers of a fleet do, and what has to come of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker_core::{
    AuditReport, Command, Cover, Digest32, Fingerprint, Hold, Ledger, LedgerReader, PostgresLedger,
    PostgresReader, RequestKey, RequestQuery, UserId,
};

use crate::books::{NOW, hold, id_of, neuron, user};

/// Few, so that everybody wants the same.
pub(crate) const USERS: u8 = 10;
/// What each of them has, where money is to be short.
pub(crate) const COVER: u128 = 300;
/// More than anybody spends.
pub(crate) const PLENTY: u128 = 1 << 80;
/// What a hold sets aside, and what is charged of it.
pub(crate) const AMOUNT: u128 = 7;
pub(crate) const FEE: u128 = 3;

/// A hold with a name.
pub(crate) fn named(name: &str, user: UserId) -> Hold {
    let Digest32(hash) = Digest32::sha256(name.as_bytes());
    Hold {
        key: RequestKey(Digest32(hash)),
        fingerprint: Fingerprint(Digest32(hash)),
        receipt: id_of(hash[..16].try_into().unwrap()),
        ..hold(0, user, AMOUNT)
    }
}

/// Gives everybody cover.
pub(crate) fn cover(ledger: &mut PostgresLedger, amount: u128) {
    let cover = Cover::UpTo(neuron(amount));
    let batch: Vec<_> = (0..USERS).map(|n| Command::Mirror { user: user(n), cover }).collect();
    assert!(ledger.apply(&batch, NOW).unwrap().iter().all(Result::is_ok));
}

/// How often longer than usual.
pub(crate) fn times() -> u64 {
    let text = std::env::var_os("FLEET");
    text.map_or(1, |text| text.to_str().unwrap().parse().unwrap())
}

/// An audit once a leader has given every entry its place.
pub(crate) fn audited(url: &str) -> AuditReport {
    let reader = PostgresReader::open(url).unwrap();
    let began = Instant::now();
    loop {
        let report = reader.audit().unwrap();
        assert_eq!(report.fault, None);
        if report.unlinked == 0 {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no leader links: {report:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The fees of all receipts, and how many there are, for each user; and that the accounts agree.
pub(crate) fn earned(url: &str) -> BTreeMap<UserId, (u128, u64)> {
    let reader = PostgresReader::open(url).unwrap();
    let sums = |n: u8| {
        let user = user(n);
        let query = RequestQuery { user: Some(user), ..RequestQuery::default() };
        let page = reader.requests(&query).unwrap();
        let account = LedgerReader::account(&reader, &user).unwrap();
        assert_eq!(account.earned, page.fee, "{user}");
        let spent = account.committed().unwrap();
        assert!(spent <= account.cover, "{user} has spent {spent} of {}", account.cover);
        (user, (page.fee.get(), page.total))
    };
    (0..USERS).map(sums).collect()
}
