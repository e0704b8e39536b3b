// An independent client: js-libp2p with gossipsub, and the crypto of node. It knows docs/gossip.md, and none of our code.
//
//     node listener.mjs ADDRESS TOPIC
//
// It prints a line of JSON for each record that it hears, and whether its signature is good. The line "garbage" on its
// standard input makes it say nonsense, on the topic and on every protocol that streams can be opened for.

import { createPublicKey, randomBytes, verify } from 'node:crypto'
import { createInterface } from 'node:readline'

// libp2p is written for node 22
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}
const { createLibp2p } = await import('libp2p')
const { tcp } = await import('@libp2p/tcp')
const { noise } = await import('@libp2p/noise')
const { yamux } = await import('@libp2p/yamux')
const { identify } = await import('@libp2p/identify')
const { gossipsub } = await import('@libp2p/gossipsub')
const { multiaddr } = await import('@multiformats/multiaddr')

const [address, topic] = process.argv.slice(2)
const APPLICATION = 'asyncmachine/clk/1'
const RECORD = 10
const PROTOCOLS = ['/asyncmachine/1', '/meshsub/1.1.0', '/ipfs/id/1.0.0', '/ipfs/id/push/1.0.0', '/ipfs/ping/1.0.0']
const ED25519 = Buffer.from('302a300506032b6570032100', 'hex') // what stands before a key in its DER form

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const text = (value) => Buffer.concat([Buffer.from([Buffer.byteLength(value)]), Buffer.from(value)])

function afterVarint (data, at) {
  while (data[at] >= 128) at += 1
  return at + 1
}

function read (message) {
  if (message[0] !== RECORD) return null
  const header = Buffer.from(message.subarray(1))
  const owner = header.subarray(2, 34)
  const stamp = afterVarint(header, 38) // behind format, flags, owner, epoch and version
  const root = afterVarint(header, stamp + 8)
  const signed = Buffer.concat([text(APPLICATION), text(topic), header.subarray(0, root + 16)])
  const key = createPublicKey({ key: Buffer.concat([ED25519, owner]), format: 'der', type: 'spki' })
  const signature = header.subarray(root + 16, root + 80)
  return { owner: owner.toString('hex'), epoch: header.readUInt32BE(34), good: verify(null, signed, key, signature) }
}

const node = await createLibp2p({
  addresses: { listen: [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    pubsub: gossipsub({ emitSelf: false, allowPublishToZeroTopicPeers: true, heartbeatInterval: 1000 })
  }
})
const name = `/${APPLICATION}/${topic}`
const heard = []
node.services.pubsub.addEventListener('message', ({ detail }) => {
  heard.push(Buffer.from(detail.data))
  const record = read(detail.data)
  say(record ?? { other: detail.data[0] })
})
node.services.pubsub.subscribe(name)
await node.dial(multiaddr(address))
say({ joined: node.peerId.toString() })

async function garble () {
  const told = {}
  const last = heard.at(-1)
  const broken = Buffer.from(last)
  broken.writeUInt32BE(broken.readUInt32BE(35) + 1, 35) // its next epoch, which its owner has not signed
  const headerOnly = last.subarray(0, 60)
  for (const nonsense of [randomBytes(300), Buffer.alloc(0), broken, headerOnly, Buffer.alloc(60000, 255)]) {
    await node.services.pubsub.publish(name, nonsense)
  }
  await new Promise((resolve) => setTimeout(resolve, 1000))
  for (const protocol of PROTOCOLS) {
    try {
      const stream = await node.dialProtocol(multiaddr(address), protocol)
      for (const nonsense of [randomBytes(300), Buffer.alloc(5000, 255)]) stream.send(nonsense)
      await new Promise((resolve) => setTimeout(resolve, 300))
      told[protocol] = stream.status
    } catch (error) {
      told[protocol] = error.name
    }
  }
  say({ garbled: told })
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'garbage') await garble()
}
await node.stop()
