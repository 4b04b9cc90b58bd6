// The stock provider for browsers, and what it did: `requests` and `streams` note what went over the wire, `events`
// what the provider told the program.
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';

const ASK = {
  boolean: 'getBooleanDetails',
  string: 'getStringDetails',
  integer: 'getNumberDetails',
  float: 'getNumberDetails',
  object: 'getObjectDetails',
};
const client = OpenFeature.getClient();

globalThis.requests = [];
globalThis.streams = [];
globalThis.events = [];

globalThis.EventSource = class extends EventSource {
  constructor(url) {
    super(url);
    const source = this;
    const stream = { url, opened: 0, failed: 0, frames: [], get isClosed() { return source.readyState === 2; } };
    streams.push(stream);
    this.addEventListener('open', () => stream.opened++);
    this.addEventListener('error', () => stream.failed++);
    this.addEventListener('message', (event) => stream.frames.push({ id: event.lastEventId, data: event.data }));
  }
};

async function noted(request, options) {
  const note = { url: request.url, tag: request.headers.get('If-None-Match'), status: null };
  requests.push(note);
  const answer = await fetch(request, options).catch((error) => {
    note.status = 0;
    throw error;
  });
  note.status = answer.status;
  note.etag = answer.headers.get('ETag');
  note.retry = answer.headers.get('Retry-After');
  return answer;
}

for (const event of Object.values(ProviderEvents)) {
  OpenFeature.addHandler(event, (details) => events.push({ event, flags: details.flagsChanged }));
}

globalThis.start = async ({ query, ...options }, context) => {
  const provider = new OFREPWebProvider({
    ...options,
    query: query && new URLSearchParams(query),
    fetchImplementation: noted,
  });
  try {
    await OpenFeature.setProviderAndWait(provider, context);
  } catch {
    // The status says it.
  }
  return client.providerStatus;
};

globalThis.setContext = async (context) => {
  await OpenFeature.setContext(context);
  return client.providerStatus;
};

globalThis.details = ({ type, flag, default: value }) => client[ASK[type]](flag, value);

globalThis.setVisible = (isVisible) => {
  Object.defineProperty(document, 'visibilityState', { value: isVisible ? 'visible' : 'hidden', configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
};

globalThis.isListening = () => streams.at(-1)?.opened > 0 && requests.every((request) => request.status !== null);

globalThis.isReady = true;
