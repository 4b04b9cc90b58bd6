// Evaluates flags with the stock provider for servers: reads {options, calls} as JSON from standard input, and writes
// a line of JSON for each call. The calls run one after the other on one provider.
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { text } from 'node:stream/consumers';

const ASK = {
  boolean: 'getBooleanDetails',
  string: 'getStringDetails',
  integer: 'getNumberDetails',
  float: 'getNumberDetails',
  object: 'getObjectDetails',
};

const { options, calls } = JSON.parse(await text(process.stdin));
await OpenFeature.setProviderAndWait(new OFREPProvider(options));
const client = OpenFeature.getClient();
for (const call of calls) {
  const details = await client[ASK[call.type]](call.flag, call.default, call.context);
  console.log(JSON.stringify(details));
}
await OpenFeature.close();
