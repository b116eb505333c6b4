// A peer that is not ours: joins a node's handshake, uses its cache, misbehaves in every documented way, and is dialled by it.
//   npm ci && node witness.mjs SECRET        with the node's cluster named "witness"
// Prints "listening HOST:PORT" first: start the node with that as a seed, then write the node's HOST:PORT to standard input. A line for each
// expectation; exits with 0 if all are met.
import { createInterface } from 'node:readline';
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import grpc from '@grpc/grpc-js';
import { Lane, ask, clock, hello, identity, join, kinds, lanes, mac, pack, path, proof, readHello, same, unpack, within } from './lane.mjs';

const secret = process.argv[2];
let failed = 0;

async function expect(what, expected, observe) {
  let seen;
  try {
    seen = await observe();
  } catch (error) {
    seen = error.status === undefined ? `${error}` : `status ${error.status}`;
  }

  const isMet = isDeepStrictEqual(seen, expected);
  failed += isMet ? 0 : 1;
  console.log(`${isMet ? 'ok' : 'FAILED'}: ${what}${isMet ? '' : `: ${JSON.stringify(seen)}, expected ${JSON.stringify(expected)}`}`);
}

// The other direction first: whoever dials us is the node.
const dialled = {};
const isDialled = new Promise(resolve => { dialled.resolve = resolve; });
let visits = 0;
const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
let receive = call => onVisit(call, ++visits);
server.register(path, call => receive(call), same, same, 'bidi');
const port = await new Promise((resolve, reject) =>
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => error ? reject(error) : resolve(bound)));
console.log(`listening 127.0.0.1:${port}`);

// The first time the node hears its own nonce, the second time its own proof, then all as it should be.
function onVisit(call, visit) {
  let node, self;
  call.on('error', () => {});
  call.on('data', body => {
    const message = unpack(body);
    if (node === undefined) {
      node = readHello(body);
      self = identity({ lane: node.lane, nonce: visit === 1 ? node.nonce : randomBytes(16) });
      call.write(hello(self));
      return;
    }

    if (message[0] === kinds.proof) {
      const bytes = Buffer.from(message[3]);
      dialled[visit === 1 ? 'provedToItself' : 'proof'] = bytes.equals(mac(secret, 1, node, self));
      call.write(proof(visit === 2 ? bytes : mac(secret, 2, node, self)));
      return;
    }

    dialled[`asked${Math.min(visit, 3)}`] = true;
    call.write(pack([kinds.fault, message[1], clock(), 4, 'A witness answers nothing.']));
    if (visit > 2) {
      dialled.resolve();
    }
  });
  call.on('end', () => call.end());
  dialled.call = call;
}

const address = await new Promise(resolve => createInterface({ input: process.stdin }).once('line', resolve));
const version = () => [clock(), 7];
const forever = [null, 0, 0];
const key = name => Buffer.from(name);
const read = (lane, name) => ask(lane, kinds.read, key(name), 0, false, true, false);
const write = (lane, name, value) => ask(lane, kinds.write, key(name), false, version(), forever, value, 0, 0, false);
const remove = (lane, name) => ask(lane, kinds.write, key(name), true, version(), forever, Buffer.alloc(0), 0, 0, false);

// What a cache is for.
const lane = await join(address, secret);
await expect('an unknown key is a miss', [kinds.readReply, 0], async () => { const r = await read(lane, 'none'); return [r[0], r[3]]; });
await expect('a set is acknowledged', [kinds.writeReply, 0], async () => { const r = await write(lane, 'key', key('value')); return [r[0], r[3]]; });
await expect('its value is read', [kinds.readReply, 1, 'value'], async () => {
  const r = await read(lane, 'key');
  return [r[0], r[3], Buffer.from(r[8]).toString()];
});
await expect('a later set wins', 'later', async () => { await write(lane, 'key', key('later')); return Buffer.from((await read(lane, 'key'))[8]).toString(); });
await expect('a remove is acknowledged', [kinds.writeReply, 0], async () => { const r = await remove(lane, 'key'); return [r[0], r[3]]; });
await expect('the key is then removed', 2, async () => (await read(lane, 'key'))[3]);
await expect('an unknown request is unsupported', [kinds.fault, 4], async () => { const r = await ask(lane, 65_534, 'future'); return [r[0], r[3]]; });
await expect('an unknown note and further fields are passed over', 0, async () => {
  lane.send(pack([65_535, 1, clock(), 'future']));
  return (await ask(lane, kinds.read, key('none'), 0, false, true, false, 'future', [1, { a: 2 }]))[3];
});

// What is too long for the data lane.
const bulk = await join(address, secret, { lane: lanes.bulk });
const large = randomBytes(3_000_000);
await expect('a large value is set in chunks', 0, async () => (await write(bulk, 'large', large))[3]);
await expect('on the data lane it is to be asked for on the bulk lane', kinds.askOnBulk, async () => (await read(lane, 'large'))[0]);
await expect('it comes back in chunks', true, async () => Buffer.from((await read(bulk, 'large'))[8]).equals(large));
bulk.close();

// Who is refused, and how.
const refusedWith = async (firstMessage, thenEnd = false) => {
  const stranger = new Lane(address);
  stranger.send(firstMessage);
  thenEnd && stranger.call.end();
  const status = await stranger.ended();
  stranger.close();
  return status;
};
await expect('a wrong secret', 'status 16', () => join(address, `${secret}!`));
await expect('no secret', 16, () => refusedWith(hello(identity({ hasSecret: false }))));
await expect('another cluster', 9, () => refusedWith(hello(identity({ cluster: 'other' }))));
await expect('another protocol version', 9, () => refusedWith(hello(identity({ protocol: 2 }))));
await expect('a clock of the day after tomorrow', 'status 9', () => join(address, secret, { clock: clock() + (BigInt(48 * 3_600_000) << 16n) }));
await expect('a request before the handshake', 3, () => refusedWith(pack([kinds.read, 1, clock(), key('key'), 0, false, true, false])));
await expect('no MessagePack', 3, () => refusedWith(Buffer.from([0xC1, 0xFF])));
await expect('an array that is too short', 3, () => refusedWith(pack([kinds.hello, 0, clock(), 1, 'witness'])));
await expect('a handshake that ends half-way', 3, () => refusedWith(hello(identity()), true));
await expect('a proof that was used before', 'status 16', () => join(address, secret, { proof: lane.proof }));
await expect('a malformed request later', 3, async () => {
  const later = await join(address, secret);
  later.send(pack([kinds.read, 1, clock(), 'text, not bytes', 0, false, true, false]));
  return later.ended();
});
await expect('a message over the limit of its lane', 8, async () => {
  const later = await join(address, secret);
  later.send(pack([kinds.write, 1, clock(), key('k'), false, version(), forever, Buffer.alloc(300_000), 0, 0, false]));
  return later.ended();
});
await expect('a chunked message that is too long', 3, async () => {
  const later = await join(address, secret, { lane: lanes.bulk });
  later.send(pack([kinds.chunk, 1, clock(), 70_000_000, 0, Buffer.alloc(10)]));
  return later.ended();
});
await expect('silence', 8, () => refusedWith(hello(identity())));
await expect('another method', 12, async () => {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  return new Promise(resolve => client.makeUnaryRequest('/distcache.v1.Peer/Other', same, same, Buffer.alloc(0), error => resolve(error?.code)));
});

// The node as a dialler.
await expect('the node dials us and goes on after two bad answers', undefined, () => within(isDialled, 'a dial of the node', 60_000));
await expect('it does not prove itself to its own nonce', undefined, async () => dialled.provedToItself);
await expect('it asks nothing of one that reflects its proof', undefined, async () => dialled.asked2);
await expect('its proof is right', true, async () => dialled.proof);
await expect('the nonce of its own dial is refused', 9, () => reflect());
await expect('the first lane still serves', 2, async () => (await read(lane, 'key'))[3]);

// Ends the lane that the node has to us, waits until it dials again, and while that dial waits for our Hello shows its nonce at its own port.
async function reflect() {
  const redialled = new Promise(resolve => {
    receive = call => {
      call.on('error', () => {});
      call.once('data', body => resolve(readHello(body).nonce));
    };
  });
  dialled.call.end();
  return refusedWith(hello(identity({ nonce: await within(redialled, 'another dial of the node', 60_000) })));
}

lane.close();
server.forceShutdown();
console.log(failed === 0 ? 'all as documented' : `${failed} not as documented`);
process.exit(failed === 0 ? 0 : 1);
