// A connection to one anvil, its accounts and its contracts.
import { ethers, InferenceServing, LedgerManager } from './packages.mjs';

export const LEDGER = '0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0';
export const INFERENCE = '0x0165878A594ca255338adfa4d48449f69242Eb8F';
export const SERVICE = 'inference-v1.0';

// What anvil derives its accounts from: owner 0, provider 1, users from 2.
const PHRASE = 'test test test test test test test test test test test junk';
const root = ethers.HDNodeWallet.fromPhrase(PHRASE, '', "m/44'/60'/0'/0");

const chains = new Map();

/** The chain behind this address; connections are kept. */
export function chainAt(url) {
  if (!chains.has(url)) chains.set(url, new Chain(url));
  return chains.get(url);
}

class Chain {
  #wallets = new Map();

  constructor(url) {
    const network = ethers.Network.from(31337);
    // No caches: a nonce of a quarter of a second ago is the wrong one.
    const options = { staticNetwork: network, cacheTimeout: -1, batchMaxCount: 1 };
    this.provider = new ethers.JsonRpcProvider(url, network, options);
    this.provider.pollingInterval = 100;
  }

  wallet(index) {
    if (!this.#wallets.has(index)) {
      const key = root.deriveChild(index).privateKey;
      this.#wallets.set(index, new ethers.Wallet(key, this.provider));
    }
    return this.#wallets.get(index);
  }

  /** The providing account, number 1 unless a command says otherwise. */
  providing(index = 1) {
    return this.wallet(index).address;
  }

  ledger(index) {
    return LedgerManager.connect(LEDGER, this.wallet(index));
  }

  inference(index) {
    return InferenceServing.connect(INFERENCE, this.wallet(index));
  }
}

/**
 * Waits until a transaction is mined; one that reverts is an error.
 *
 * Under load anvil has left a transaction in its pool until something made a block, and `wait()`
 * hears of no block that came before its first look: so receipts are asked for, and after a while
 * a block is.
 */
export async function mined(sent) {
  const transaction = await sent;
  const { hash, provider } = transaction;
  for (let looks = 1; (await provider.getTransactionReceipt(hash)) === null; looks += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (looks % 200 === 0) await provider.send('evm_mine', []);
  }
  const receipt = await transaction.wait();
  return { hash: receipt.hash, block: receipt.blockNumber, gas: receipt.gasUsed };
}

/** What the contracts return, under its names. */
export function named(value) {
  if (!(value instanceof ethers.Result)) return value;
  if (value.length === 0) return [];
  let names = [];
  try {
    names = Object.keys(value.toObject());
  } catch {
    // A list, or a structure whose names clash with a list's own.
  }
  const listed = names.length !== value.length || names.includes('_');
  if (listed) return value.toArray().map(named);
  return Object.fromEntries(names.map((name) => [name, named(value.getValue(name))]));
}
