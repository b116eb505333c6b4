// A lane of docs/wire-protocol.md, written from that page alone: gRPC by @grpc/grpc-js, MessagePack by @msgpack/msgpack, nothing of DistCache.
import { createHmac, randomBytes } from 'node:crypto';
import grpc from '@grpc/grpc-js';
import { encode, decode } from '@msgpack/msgpack';

export const kinds = {
  hello: 1, proof: 3, chunk: 5, fault: 9, askOnBulk: 11,
  read: 16, readReply: 17, write: 18, writeReply: 19,
};
export const lanes = { control: 0, data: 1, bulk: 2 };
export const path = '/distcache.v1.Peer/Exchange';
const chunkBytes = 1_048_576;
const patience = 60_000;

let latest = 0n;

/** Each reading is above the one before: what the counter below the milliseconds is for. */
export const clock = () => {
  const now = BigInt(Date.now()) << 16n;
  latest = now > latest ? now : latest + 1n;
  return latest;
};

export const pack = fields => Buffer.from(encode(fields, { useBigInt64: true }));
export const unpack = body => decode(body, { useBigInt64: true });
export const same = buffer => buffer;

/** What a node calls itself. */
export const identity = (over = {}) => ({
  protocol: 1, cluster: 'witness', name: 'grpc-js', incarnation: BigInt(Date.now()), nonce: randomBytes(16), lane: lanes.data, hasSecret: true, ...over,
});

export const hello = of =>
  pack([kinds.hello, 0, of.clock ?? clock(), of.protocol, of.cluster, of.name, of.incarnation, of.nonce, of.lane, of.hasSecret]);

export function readHello(body) {
  const [kind, , , protocol, cluster, name, incarnation, nonce, lane, hasSecret] = unpack(body);
  if (kind !== kinds.hello) {
    throw new Error(`kind ${kind} where Hello was expected`);
  }

  return { protocol, cluster, name, incarnation: BigInt(incarnation), nonce: Buffer.from(nonce), lane, hasSecret };
}

/** role: 1 dialler, 2 listener. */
export function mac(secret, role, dialler, listener) {
  const number = (value, bytes) => {
    const buffer = Buffer.alloc(bytes);
    bytes === 8 ? buffer.writeBigUInt64BE(BigInt(value)) : buffer.writeUInt32BE(value);
    return buffer;
  };
  const string = text => [number(Buffer.byteLength(text), 4), Buffer.from(text)];
  const node = of => [...string(of.name), number(of.incarnation, 8), of.nonce];
  return createHmac('sha256', Buffer.from(secret))
    .update(Buffer.concat([
      Buffer.from([role, dialler.lane]), number(dialler.protocol, 4), ...string(dialler.cluster), ...node(dialler), ...node(listener),
    ]))
    .digest();
}

export const proof = bytes => pack([kinds.proof, 0, clock(), bytes]);

/** One stream on a connection of its own: messages in order, and the status at its end. */
export class Lane {
  constructor(address) {
    this.client = new grpc.Client(address, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1, 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1,
    });
    this.call = this.client.makeBidiStreamRequest(path, same, same, new grpc.Metadata(), {});
    this.messages = [];
    this.waiters = [];
    this.status = new Promise(resolve => this.call.on('status', resolve));
    this.call.on('data', body => this.#give(body));
    this.call.on('error', () => this.#give(null));
    this.call.on('end', () => this.#give(null));
  }

  #give(body) {
    const waiter = this.waiters.shift();
    waiter ? waiter(body) : this.messages.push(body);
  }

  send(body) {
    this.call.write(body);
  }

  /** The next message; null at the end. */
  next() {
    return within(this.messages.length > 0 ? Promise.resolve(this.messages.shift()) : new Promise(resolve => this.waiters.push(resolve)), 'a message');
  }

  /** The number of the gRPC status that ends the lane. */
  async ended() {
    return (await within(this.status, 'the end of the lane')).code;
  }

  close() {
    this.call.end();
    this.call.cancel();
    this.client.close();
  }
}

export function within(promise, what, milliseconds = patience) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no sign of ${what}`)), milliseconds); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Joins the handshake; gives a lane that requests can be sent on, or throws with the status. */
export async function join(address, secret, over = {}) {
  const self = identity(over);
  const lane = new Lane(address);
  lane.send(hello(self));
  const first = await lane.next();
  if (first === null) {
    throw Object.assign(new Error('refused'), { status: await lane.ended() });
  }

  const peer = readHello(first);
  if (peer.lane !== self.lane || peer.nonce.equals(self.nonce)) {
    throw new Error('the answer is not one to this Hello');
  }

  lane.proof = mac(secret, 1, self, peer);
  lane.send(proof(over.proof ?? lane.proof));
  const second = await lane.next();
  if (second === null) {
    throw Object.assign(new Error('refused'), { status: await lane.ended() });
  }

  const [kind, , , bytes] = unpack(second);
  if (kind !== kinds.proof || !Buffer.from(bytes).equals(mac(secret, 2, self, peer))) {
    throw new Error('the listener did not prove that it knows the secret');
  }

  return lane;
}

let lastId = 0;

/** Sends a request, in chunks where it is long, and gives the whole reply. */
export async function ask(lane, kind, ...fields) {
  const id = ++lastId;
  const body = pack([kind, id, clock(), ...fields]);
  if (body.length <= chunkBytes) {
    lane.send(body);
  } else {
    for (let offset = 0; offset < body.length; offset += chunkBytes) {
      lane.send(pack([kinds.chunk, id, clock(), body.length, offset, body.subarray(offset, offset + chunkBytes)]));
    }
  }

  const parts = [];
  while (true) {
    const answer = await lane.next();
    if (answer === null) {
      throw Object.assign(new Error('the lane ended'), { status: await lane.ended() });
    }

    const message = unpack(answer);
    if (message[1] !== id) {
      throw new Error(`a reply to ${message[1]} where one to ${id} was expected`);
    }

    if (message[0] !== kinds.chunk) {
      return message;
    }

    parts.push(Buffer.from(message[5]));
    const whole = Buffer.concat(parts);
    if (whole.length === message[3]) {
      return unpack(whole);
    }
  }
}
