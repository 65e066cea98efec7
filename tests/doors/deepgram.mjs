// SPDX-License-Identifier: Apache-2.0
// deepgram.mjs URL KEY FILE QUERY STEPS: what @deepgram/sdk gets, one JSON line a message.
// STEPS: send BYTES | finalize | keepalive | wait TYPE | close, comma-separated.
import fs from 'node:fs';
import { DeepgramClient } from '@deepgram/sdk';

const [url, apiKey, file, query, steps] = process.argv.slice(2);
const data = fs.readFileSync(file);
const client = new DeepgramClient({ apiKey, baseUrl: url });
const socket = await client.listen.v1.connect(JSON.parse(query));
const got = [];
let waiting = () => {};
const say = (o) => { console.log(JSON.stringify(o)); got.push(o); waiting(); };
socket.on('message', say);
socket.on('error', (e) => say({ type: 'error', message: String(e.message ?? e) }));
socket.on('close', (e) => {
	say({ type: 'close', code: e.code, reason: e.reason });
	process.exit(0);
});
socket.connect();
await socket.waitForOpen();
let at = 0, seen = 0;
for (const step of steps.split(',')) {
	const [verb, what] = step.split(' ');
	if (verb === 'send') {
		const end = Math.min(data.length, at + Number(what));
		for (; at < end; at += 6400)
			socket.sendMedia(data.subarray(at, Math.min(end, at + 6400)));
		at = end;
	} else if (verb === 'finalize') {
		socket.sendFinalize({ type: 'Finalize' });
	} else if (verb === 'keepalive') {
		socket.sendKeepAlive({ type: 'KeepAlive' });
	} else if (verb === 'close') {
		socket.sendCloseStream({ type: 'CloseStream' });
	} else if (verb === 'wait') {
		while (!got.slice(seen).some((m) => m.type === what || m[what]))
			await new Promise((r) => { waiting = r; });
		seen = got.length;
	}
}
