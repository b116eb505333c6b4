// Asks a running node for its health with an implementation of gRPC that is not ours:
//   npm ci && node health-check.mjs 127.0.0.1:7600
// Prints one line for each question and exits with 0 if every answer is the expected one.
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const address = process.argv[2];
if (!address) {
  console.error('usage: node health-check.mjs HOST:PORT');
  process.exit(2);
}

const definition = protoLoader.loadSync(fileURLToPath(new URL('health.proto', import.meta.url)), { enums: String });
const { Health } = grpc.loadPackageDefinition(definition).grpc.health.v1;
const client = new Health(address, grpc.credentials.createInsecure());
const deadline = () => Date.now() + 5_000;

const check = service => new Promise(resolve =>
  client.Check({ service }, { deadline: deadline() }, (error, reply) => resolve(error ? `status ${error.code}` : reply.status)));

const watch = service => new Promise(resolve => {
  const call = client.Watch({ service }, { deadline: deadline() });
  call.on('data', () => {});
  call.on('error', error => resolve(`status ${error.code}`));
  call.on('end', () => resolve('end'));
});

const questions = [
  ['Check ""', () => check(''), 'SERVING'],
  ['Check "distcache.v1.Peer"', () => check('distcache.v1.Peer'), 'SERVING'],
  ['Check "no.such.Service"', () => check('no.such.Service'), 'status 5'],
  ['Watch ""', () => watch(''), 'status 12'],
];

let failed = 0;
for (const [name, ask, expected] of questions) {
  const answer = await ask();
  failed += answer === expected ? 0 : 1;
  console.log(`${name}: ${answer}${answer === expected ? '' : `, expected ${expected}`}`);
}

client.close();
process.exit(failed === 0 ? 0 : 1);
