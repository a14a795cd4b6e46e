//! `ledger settle`: what would be collected, or a word to the sidecar that collects.
//!
//! Only the running sidecar has the key that vouchers are signed with, and only one may send from
//! the wallet: this command never settles by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use broker_core::chain::{Chain, Terms};
use broker_core::ledger::statement::Statement;
use broker_core::settlement::{self, Plan, Planned, Policy, Preview};
use broker_core::{ChainError, Clock, Neuron, SystemClock, Timestamp};

use super::Exit;
use super::ledger::{explain, open, print};
use crate::config::Settings;
use crate::net;
use crate::network::connect::connect;
use crate::tls::pinned;

/// Asks the running sidecar, on its admin listener, to collect from everyone who owes.
pub fn ask(settings: &Settings) -> Exit {
    let at = reachable(settings.server.admin_listen);
    let (scheme, builder) = match settings.server.admin_tls().map(pinned).transpose() {
        Ok(None) => ("http", net::plain_client_builder()),
        Ok(Some(config)) => ("https", net::client_builder().tls_backend_preconfigured(config)),
        Err(error) => {
            eprintln!("tee-sidecar: {error}");
            return Exit::Failed;
        }
    };
    let url = format!("{scheme}://{at}/v1/settle");
    let asked = wait(async {
        let client = builder.timeout(ANSWER_TIME).build()?;
        let mut request = client.post(&url);
        if let Some(token) = &settings.admin_token {
            request = request.bearer_auth(token.expose());
        }
        let response = request.send().await?;
        Ok::<_, reqwest::Error>((response.status().as_u16(), response.text().await?))
    });
    match asked {
        Err(exit) => exit,
        Ok(Ok((202, _))) => {
            print(&[("settle".to_owned(), format!("asked the sidecar at {at}; it collects now"))])
        }
        Ok(Ok((status, body))) => {
            eprintln!("tee-sidecar: the sidecar at {at} answers {status}: {}", body.trim());
            Exit::Failed
        }
        Ok(Err(error)) => {
            eprintln!(
                "tee-sidecar: no sidecar answers at {at} ({}): start it with `tee-sidecar serve`; \
                 it collects by itself, and at once when asked. `--dry-run` needs no sidecar",
                if error.is_timeout() { "not in time" } else { "no connection" }
            );
            Exit::Missing
        }
    }
}

/// Prints who is due and why, the gas and the net. Reads ledger and chain, changes neither.
pub fn dry_run(settings: &Settings) -> Exit {
    let Some(network) = &settings.network else {
        eprintln!("tee-sidecar: network is not configured: there is no chain to settle on");
        return Exit::Usage;
    };
    let statements = match open(settings).and_then(|reader| reader.statements()) {
        Ok(statements) => statements,
        Err(error) => return explain(&error),
    };
    let policy = settings.settlement.policy;
    let now = SystemClock.now();
    let previewed = wait(async {
        let chain = connect(network)?;
        chain.check().await?;
        preview(&statements, &chain, &policy, now).await
    });
    match previewed {
        Err(exit) => exit,
        Ok(Ok(lines)) => print(&lines),
        Ok(Err(error)) => {
            eprintln!("tee-sidecar: {error}");
            match error {
                ChainError::WrongNetwork(_) => Exit::Usage,
                _ => Exit::Missing,
            }
        }
    }
}

/// What a pass would do now, one `name: value` a line; amounts in neuron.
///
/// # Errors
/// The chain gave no answer.
pub async fn preview(
    statements: &[Statement],
    chain: &dyn Chain,
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<(String, String)>, ChainError> {
    // Whether the sidecar's own key is the registered one is for the sidecar to say.
    let preview = settlement::preview(statements, chain, None, policy, now).await?;
    let Preview { obstacles, terms, plan, sent, frozen } = preview;
    if let Some((_, error)) = plan.unread.first() {
        return Err(error.clone());
    }
    let mut lines = sums(&plan, &terms);
    let obstacles = obstacles.iter();
    lines.extend(obstacles.map(|obstacle| ("obstacle".to_owned(), obstacle.to_string())));
    lines.extend(plan.users.iter().map(user));
    lines.extend(sent.iter().map(|(user, total)| {
        (format!("user {user}"), format!("vouchered={total} due=sent already"))
    }));
    lines.extend(
        frozen
            .iter()
            .map(|(user, owed)| (format!("user {user}"), format!("owed={owed} due=never: frozen"))),
    );
    Ok(lines)
}

fn sums(plan: &Plan, terms: &Terms) -> Vec<(String, String)> {
    let due = plan.users.iter().filter(|user| user.reason.is_some()).count();
    let gas = plan.gas_cost.get().checked_div(terms.gas_price.get()).unwrap_or_default();
    [
        ("users_due", due.to_string()),
        ("amount_neuron", plan.amount.to_string()),
        ("gas", gas.to_string()),
        ("gas_price_neuron", terms.gas_price.to_string()),
        ("gas_cost_neuron", plan.gas_cost.to_string()),
        ("net_neuron", difference(plan.amount, plan.gas_cost)),
        ("wallet_neuron", terms.wallet.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Gas may cost more than what is collected.
fn difference(amount: Neuron, cost: Neuron) -> String {
    match amount.checked_sub(cost) {
        Some(net) => net.to_string(),
        None => format!("-{}", cost.checked_sub(amount).unwrap_or_default()),
    }
}

fn user(planned: &Planned) -> (String, String) {
    let Planned { user, earned, view, reason } = planned;
    let due = reason.map_or("waits", |reason| reason.as_str());
    (format!("user {user}"), format!("owed={earned} cover={} due={due}", view.cover()))
}

/// An address that stands for all of the machine's is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn wait<T>(work: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => Ok(runtime.block_on(work)),
        Err(error) => {
            eprintln!("tee-sidecar: {error}");
            Err(Exit::Failed)
        }
    }
}

/// The sidecar only takes note of the wish.
const ANSWER_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_has_a_sign_and_a_listener_on_all_addresses_is_reached_on_loopback() {
        let neuron = Neuron::new;
        assert_eq!(difference(neuron(7), neuron(5)), "2");
        assert_eq!(difference(neuron(5), neuron(7)), "-2");
        for (listen, reached) in [
            ("0.0.0.0:3080", "127.0.0.1:3080"),
            ("[::]:3080", "[::1]:3080"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
