// Commands that talk to the contracts directly, as owner, provider or user.
import { chainAt, mined, named, SERVICE } from './chain.mjs';

const STAKE = 100n * 10n ** 18n;

/** An account's address and key. */
export async function wallet({ url, index }) {
  const { address, privateKey } = chainAt(url).wallet(index);
  return { address, key: privateKey };
}

/** The provider registers or changes its service; the stake is sent when it is new. */
export async function register(asked) {
  const { url, provider = 1, serviceUrl, model = 'tiny', inputPrice, outputPrice, signer } = asked;
  const chain = chainAt(url);
  const inference = chain.inference(provider);
  const known = await inference.serviceExists(chain.providing(provider));
  const params = {
    serviceType: 'chatbot',
    url: serviceUrl,
    model,
    verifiability: asked.verifiability ?? 'TeeML',
    inputPrice,
    outputPrice,
    additionalInfo: asked.additionalInfo ?? '{"TEEVerifier":"dstack"}',
    teeSignerAddress: signer,
  };
  const value = known ? 0n : BigInt(asked.stake ?? STAKE);
  return mined(inference.addOrUpdateService(params, { value }));
}

export async function remove_service({ url, provider = 1 }) {
  return mined(chainAt(url).inference(provider).removeService());
}

export async function owner_acknowledge({ url, provider }) {
  const chain = chainAt(url);
  return mined(chain.inference(0).acknowledgeTEESignerByOwner(chain.providing(provider)));
}

export async function owner_revoke({ url, provider }) {
  const chain = chainAt(url);
  return mined(chain.inference(0).revokeTEESignerAcknowledgement(chain.providing(provider)));
}

export async function set_lock_time({ url, seconds }) {
  return mined(chainAt(url).inference(0).updateLockTime(seconds));
}

/** Users deposit, then hand a part to the provider. The first part opens the account. */
export async function fund({ url, users, deposit = '0', transfer = '0', provider }) {
  const chain = chainAt(url);
  const one = async (user) => {
    const ledger = chain.ledger(user);
    if (BigInt(deposit) > 0n) {
      const found = ledger.getLedger(chain.wallet(user).address);
      const known = await found.then(() => true, () => false);
      const value = BigInt(deposit);
      await mined(known ? ledger.depositFund({ value }) : ledger.addLedger('', { value }));
    }
    if (BigInt(transfer) > 0n) {
      await mined(ledger.transferFund(chain.providing(provider), SERVICE, transfer));
    }
  };
  await Promise.all(users.map(one));
  return users.length;
}

export async function acknowledge({ url, user, provider, value = true }) {
  const chain = chainAt(url);
  return mined(chain.inference(user).acknowledgeTEESigner(chain.providing(provider), value));
}

/** Asks for everything back, and takes what was asked for longer than the lock time ago. */
export async function retrieve({ url, user, provider }) {
  const chain = chainAt(url);
  return mined(chain.ledger(user).retrieveFund([chain.providing(provider)], SERVICE));
}

export async function revoke_token({ url, user, provider, tokenId }) {
  const chain = chainAt(url);
  return mined(chain.inference(user).revokeToken(chain.providing(provider), tokenId));
}

export async function revoke_tokens({ url, user, provider, tokenIds }) {
  const chain = chainAt(url);
  return mined(chain.inference(user).revokeTokens(chain.providing(provider), tokenIds));
}

export async function revoke_all_tokens({ url, user, provider }) {
  const chain = chainAt(url);
  return mined(chain.inference(user).revokeAllTokens(chain.providing(provider)));
}

/** The account of a user with the provider, or null. */
export async function account({ url, user, provider, block = 'latest' }) {
  const chain = chainAt(url);
  const [who, whom] = [chain.wallet(user).address, chain.providing(provider)];
  const inference = chain.inference(user);
  if (!(await inference.accountExists(who, whom, { blockTag: block }))) return null;
  return named(await inference.getAccount(who, whom, { blockTag: block }));
}

/** What a user has in the ledger, or null. */
export async function ledger({ url, user }) {
  const chain = chainAt(url);
  const found = chain.ledger(user).getLedger(chain.wallet(user).address);
  return found.then(named, () => null);
}

/** The provider's service, or null. */
export async function service({ url, provider = 1 }) {
  const chain = chainAt(url);
  const address = chain.providing(provider);
  const inference = chain.inference(provider);
  const known = await inference.serviceExists(address);
  return known ? named(await inference.getService(address)) : null;
}

/** Each voucher of every settlement that was mined, with what became of it. */
export async function settlements({ url, from = 0 }) {
  const chain = chainAt(url);
  const inference = chain.inference(0);
  const logs = await inference.queryFilter(inference.filters.TEESettlementResult(), from);
  const found = [];
  const batches = new Map();
  for (const log of logs) {
    if (!batches.has(log.transactionHash)) {
      const transaction = await chain.provider.getTransaction(log.transactionHash);
      const { args } = inference.interface.parseTransaction(transaction);
      batches.set(log.transactionHash, { vouchers: args[0], at: 0 });
    }
    // One event for each voucher, in their order.
    const batch = batches.get(log.transactionHash);
    const voucher = batch.vouchers[batch.at++];
    const { user, status, unsettledAmount } = log.args;
    found.push({
      transaction: log.transactionHash,
      block: log.blockNumber,
      user,
      status: Number(status),
      unsettled: unsettledAmount,
      nonce: voucher.nonce,
      fee: voucher.totalFee,
      requestsHash: voucher.requestsHash,
    });
  }
  return found;
}
