// Deploys the real contracts on a fresh chain, in the order in which they get the addresses that
// the SDK knows for chain 31337.
import {
  BeaconProxy, ethers, InferenceServing, LedgerManager, UpgradeableBeacon,
} from './packages.mjs';
import { chainAt, INFERENCE, LEDGER, mined } from './chain.mjs';

export async function deploy({ url, lockTime = 3600 }) {
  const chain = chainAt(url);
  const owner = chain.wallet(0);

  const create = async ({ abi, bytecode }, ...parameters) => {
    const contract = await new ethers.ContractFactory(abi, bytecode, owner).deploy(...parameters);
    await contract.waitForDeployment();
    return contract.getAddress();
  };
  const behindProxy = async (implementation) => {
    const beacon = await create(UpgradeableBeacon, await create(implementation));
    return create(BeaconProxy, beacon, '0x');
  };
  const at = (address, expected) => {
    if (address !== expected) throw new Error(`deployed at ${address}, not at ${expected}`);
  };

  at(await behindProxy(LedgerManager), LEDGER);
  const ledger = chain.ledger(0);
  await mined(ledger.initialize(owner.address));
  at(await behindProxy(InferenceServing), INFERENCE);
  await mined(chain.inference(0).initialize(lockTime, LEDGER, owner.address));
  await mined(ledger.registerService('inference', 'v1.0', INFERENCE, 'inference v1.0'));
  await mined(ledger.setRecommendedService('inference', 'v1.0'));
  return { ledger: LEDGER, inference: INFERENCE };
}
