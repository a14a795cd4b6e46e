// Commands of a user of OpenAI's client for Node, unmodified: each gives what the client made of the
// answer, beside the answer's id and the hash of its bytes.
import { createHash } from 'node:crypto';
import { OpenAI } from './packages.mjs';

const messages = [{ role: 'user', content: 'What is the weather in Paris?' }];
const tools = [{
  type: 'function',
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}];

/** Has the client do something, and keeps the bytes that it was answered with. */
async function kept({ url, key }, use) {
  let answer;
  // The body is read twice: as the client reads it, and as it came.
  const fetchAndKeep = async (input, init) => {
    const response = await fetch(input, init);
    const bytes = response.clone().arrayBuffer();
    answer = { resKey: response.headers.get('ZG-Res-Key'), bytes };
    return response;
  };
  const settings = { baseURL: `${url}/v1`, apiKey: key ?? 'unused', maxRetries: 0 };
  const result = await use(new OpenAI({ ...settings, fetch: fetchAndKeep }));
  const sha256 = createHash('sha256').update(Buffer.from(await answer.bytes)).digest('hex');
  return { ...result, resKey: answer.resKey, sha256 };
}

const chat = (client, asked, more) =>
  client.chat.completions.stream({ model: asked.model, messages, ...more, ...asked.more });

export const openai_stream = (asked) => kept(asked, async (client) => {
  const stream = chat(client, asked, { stream_options: { include_usage: true } });
  const { choices, usage } = await stream.finalChatCompletion();
  return { text: choices[0].message.content, usage };
});

export const openai_tools = (asked) => kept(asked, async (client) => {
  const call = { model: asked.model, messages, tools, ...asked.more };
  const { choices, usage } = await client.chat.completions.create(call);
  return { calls: choices[0].message.tool_calls.map((one) => one.function), usage };
});

export const openai_tools_streamed = (asked) => kept(asked, async (client) => {
  const stream = chat(client, asked, { tools, stream_options: { include_usage: true } });
  const { choices, usage } = await stream.finalChatCompletion();
  return { calls: choices[0].message.tool_calls.map((one) => one.function), usage };
});

/** The client asks for the numbers in base64 and reads them itself. */
export const openai_embeddings = (asked) => kept(asked, async (client) => {
  const { data, usage } = await client.embeddings.create({ model: asked.model, input: ['a', 'b'] });
  return { vectors: data.map((one) => one.embedding), usage };
});

export const openai_responses = (asked) => kept(asked, async (client) => {
  const { output_text: text, usage } =
    await client.responses.create({ model: asked.model, input: 'Who are you?' });
  return { text, usage };
});

export const openai_responses_streamed = (asked) => kept(asked, async (client) => {
  const stream = client.responses.stream({ model: asked.model, input: 'Who are you?' });
  const deltas = [];
  stream.on('response.output_text.delta', (event) => deltas.push(event.delta));
  const { usage } = await stream.finalResponse();
  return { text: deltas.join(''), usage };
});
