// Commands of a user who has 0G's SDK, unmodified, and any OpenAI client.
import { createHash } from 'node:crypto';
import { OpenAI, sdk } from './packages.mjs';
import { chainAt } from './chain.mjs';

const brokers = new Map();

/** A user's SDK; it keeps its caches unless `fresh`. */
async function brokerOf({ url, user, fresh = false }) {
  const key = `${url} ${user}`;
  if (fresh || !brokers.has(key)) {
    brokers.set(key, sdk.createZGComputeNetworkBroker(chainAt(url).wallet(user)));
  }
  return brokers.get(key);
}

const providing = ({ url, provider }) => chainAt(url).providing(provider);

/** Amounts of the SDK's ledger are in 0G. */
export async function sdk_add_ledger(asked) {
  await (await brokerOf(asked)).ledger.addLedger(asked.amount);
  return null;
}

export async function sdk_acknowledge(asked) {
  await (await brokerOf(asked)).inference.acknowledgeProviderSigner(providing(asked));
  return null;
}

export async function sdk_metadata(asked) {
  return (await brokerOf(asked)).inference.getServiceMetadata(providing(asked), asked.model);
}

/** Tops the account up first, if it has to. */
export async function sdk_headers(asked) {
  return (await brokerOf(asked)).inference.getRequestHeaders(providing(asked), asked.content);
}

/** A key that lasts until it is revoked. */
export async function sdk_api_key(asked) {
  const { requestProcessor } = (await brokerOf(asked)).inference;
  return requestProcessor.createApiKey(providing(asked), asked.options ?? {});
}

/** A chat through the OpenAI client; the answer's header, its usage, and its bytes' hash. */
export async function sdk_chat(asked) {
  const { endpoint, model } = await sdk_metadata(asked);
  const headers = asked.headers ?? (await sdk_headers(asked));
  let wire = Promise.resolve('');
  // The body is read twice: as the client reads it, and as it came.
  const fetchAndKeep = async (input, init) => {
    const response = await fetch(input, init);
    wire = response.clone().arrayBuffer().then((body) =>
      createHash('sha256').update(Buffer.from(body)).digest('hex'));
    return response;
  };
  // The headers bring their own key.
  const settings = { baseURL: endpoint, apiKey: 'unused', maxRetries: 0, fetch: fetchAndKeep };
  const openai = new OpenAI(settings);
  const body = {
    model,
    messages: [{ role: 'user', content: asked.content ?? 'Who are you?' }],
    max_tokens: asked.maxTokens ?? 64,
    ...(asked.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  };
  const call = openai.chat.completions.create(body, { headers });
  const { data, response } = await call.withResponse();
  const answer = asked.stream ? await collected(data) : whole(data);
  const resKey = response.headers.get('ZG-Res-Key');
  return { ...answer, resKey, provider: response.headers.get('provider'), sha256: await wire };
}

const whole = ({ id, usage, choices }) => ({ id, usage, text: choices[0].message.content });

async function collected(stream) {
  const answer = { id: null, usage: null, text: '' };
  for await (const chunk of stream) {
    answer.id = chunk.id;
    answer.usage = chunk.usage ?? answer.usage;
    answer.text += chunk.choices[0]?.delta?.content ?? '';
  }
  return answer;
}

export async function sdk_process_response(asked) {
  const { inference } = await brokerOf(asked);
  const usage = asked.usage && JSON.stringify(asked.usage);
  return inference.processResponse(providing(asked), asked.chatId, usage);
}

export async function sdk_verify_service(asked) {
  const { inference } = await brokerOf(asked);
  return inference.verifyService(providing(asked), asked.folder);
}

export async function sdk_list_services(asked) {
  return (await brokerOf(asked)).inference.listService();
}

export async function sdk_models(asked) {
  return (await brokerOf(asked)).inference.getProviderModels(providing(asked));
}

/** What the sub-account holds, as the SDK shows it, with the refunds that still wait. */
export async function sdk_account(asked) {
  const { inference } = await brokerOf(asked);
  const [account, refunds] = await inference.getAccountWithDetail(providing(asked));
  return { balance: account.balance, pendingRefund: account.pendingRefund, refunds };
}

/** As the SDK's user asks for money back. */
export async function sdk_retrieve(asked) {
  const { ledger } = await brokerOf(asked);
  await ledger.retrieveFundFromProvider('inference', providing(asked));
  return null;
}
