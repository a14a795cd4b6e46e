// The npm packages, which live outside this tree: ZEROG_HOME is where .ci/install-zerog put them.
import { createRequire } from 'node:module';
import path from 'node:path';

const home = process.env.ZEROG_HOME;
const require = createRequire(path.join(home, 'package.json'));
const inside = (...parts) => require(path.join(home, 'node_modules', ...parts));

export const ethers = require('ethers');
export const sdk = require('@0gfoundation/0g-compute-ts-sdk');
export const OpenAI = require('openai');

// The SDK does not export them, but carries the contracts' code and interfaces.
const factory = (area, name) =>
  inside('@0gfoundation/0g-compute-ts-sdk/lib.commonjs', area, 'contract/typechain/factories',
    `${name}__factory.js`)[`${name}__factory`];
export const LedgerManager = factory('ledger', 'LedgerManager');
export const InferenceServing = factory('inference', 'InferenceServing');

const proxy = (name) => inside('@openzeppelin/contracts/build/contracts', `${name}.json`);
export const UpgradeableBeacon = proxy('UpgradeableBeacon');
export const BeaconProxy = proxy('BeaconProxy');
