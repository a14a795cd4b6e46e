//! How often something may be begun over time: by all together, and by one peer.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

/// Permissions that refill at a steady rate.
pub(crate) struct Rate<K = IpAddr> {
    all: Rule,
    each: Rule,
    state: Mutex<State<K>>,
}

/// How many may come at once, and how many for each second after that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) burst: u32,
    pub(crate) per_sec: u32,
}

/// There is none left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Empty;

struct State<K> {
    all: Bucket,
    /// Those who took something lately.
    peers: HashMap<K, Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: u32,
    /// Up to when it was filled.
    filled: Instant,
}

impl Rate {
    /// Takes one permission. Loopback peers, and those that nobody knows, are held to the common
    /// limit only. A refusal takes nothing, neither from the peer nor from the others.
    pub(crate) fn take(&self, peer: Option<IpAddr>) -> Result<(), Empty> {
        self.take_of(peer.and_then(counted))
    }
}

impl<K: Eq + Hash> Rate<K> {
    /// `all` for everybody together, `each` for one peer.
    pub(crate) fn new(all: Rule, each: Rule) -> Self {
        let state = State { all: Bucket::full(all, Instant::now()), peers: HashMap::new() };
        Self { all, each, state: Mutex::new(state) }
    }

    /// Takes one permission of somebody's; those that nobody counts are held to the common limit.
    pub(crate) fn take_of(&self, who: Option<K>) -> Result<(), Empty> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.all.fill(self.all, now);
        let Some(peer) = who else { return state.all.take() };
        let known = state.peers.get(&peer).copied();
        let mut own = known.unwrap_or_else(|| Bucket::full(self.each, now));
        own.fill(self.each, now);
        own.take()?;
        if known.is_none() && state.peers.len() >= PEERS_MAX {
            let each = self.each;
            state.peers.retain(|_, bucket| {
                bucket.fill(each, now);
                bucket.left < each.burst
            });
            if state.peers.len() >= PEERS_MAX {
                return Err(Empty);
            }
        }
        state.all.take()?;
        state.peers.insert(peer, own);
        Ok(())
    }
}

impl Bucket {
    fn full(rule: Rule, now: Instant) -> Self {
        Self { left: rule.burst, filled: now }
    }

    fn fill(&mut self, rule: Rule, now: Instant) {
        let each = Duration::from_secs(1) / rule.per_sec.max(1);
        let due = now.duration_since(self.filled).as_nanos() / each.as_nanos().max(1);
        let due = u32::try_from(due).unwrap_or(u32::MAX).min(rule.burst);
        if due > 0 {
            self.left = self.left.saturating_add(due).min(rule.burst);
            // What a full bucket cannot hold is lost, the fraction of the next one is not.
            let full = self.left == rule.burst;
            self.filled = if full { now } else { self.filled + each * due };
        }
    }

    fn take(&mut self) -> Result<(), Empty> {
        self.left = self.left.checked_sub(1).ok_or(Empty)?;
        Ok(())
    }
}

/// Whom a peer is counted as: an IPv6 client has a whole /64 to itself.
fn counted(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V6(ip) => {
            let network = u128::from(ip) >> 64 << 64;
            Some(IpAddr::V6(Ipv6Addr::from(network)))
        }
        ip => Some(ip),
    }
}

/// The peers that are remembered. Only a permission taken makes one remembered, and its bucket is
/// full again after seconds: the common limit lets no more through in that time.
const PEERS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Rule = Rule { burst: 3, per_sec: 4 };

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_only_the_rate() {
        let rate = Rate::new(ALL, ALL);
        assert_eq!([(); 4].map(|()| rate.take(None).is_ok()), [true, true, true, false]);
        tokio::time::advance(Duration::from_millis(249)).await;
        assert_eq!(rate.take(None), Err(Empty));
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(rate.take(None), Ok(()));
        assert_eq!(rate.take(None), Err(Empty));
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!([(); 4].map(|()| rate.take(None).is_ok()), [true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_leaves_room_for_the_others_and_a_network_of_ipv6_is_one_peer() {
        let rate = Rate::new(Rule { burst: 8, per_sec: 8 }, Rule { burst: 2, per_sec: 2 });
        let taken = |peers: &[&str]| peers.iter().filter(|p| rate.take(ip(p)).is_ok()).count();
        assert_eq!(taken(&["192.0.2.1"; 50]), 2);
        assert_eq!(taken(&["::ffff:192.0.2.1"; 5]), 0, "the same in the other spelling");
        assert_eq!(taken(&["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:1"]), 2);
        assert_eq!(taken(&["2001:db8:0:1::1"]), 1);
        assert_eq!(taken(&["127.0.0.1"; 5]), 3, "what is left for everybody");
    }

    #[tokio::test(start_paused = true)]
    async fn peers_are_forgotten_and_a_refused_one_is_never_remembered() {
        let rate = Rate::new(Rule { burst: 64, per_sec: 8 }, Rule { burst: 16, per_sec: 2 });
        for number in 0..20_000_u32 {
            let _ = rate.take(Some(IpAddr::from(number.to_be_bytes())));
            if number % 10 == 0 {
                tokio::time::advance(Duration::from_millis(125)).await;
            }
            assert!(rate.state.lock().unwrap().peers.len() <= PEERS_MAX);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rate.take(ip("203.0.113.9")), Ok(()), "the idle ones made room");
    }
}
