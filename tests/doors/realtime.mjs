// SPDX-License-Identifier: Apache-2.0
// realtime.mjs CLASS BASEURL KEY FILE STEPS: what a class of npm's openai gets, one JSON line a message.
// CLASS: 6 (transcription by its model), 7 (by its intent), translation.
// STEPS: a JSON array: a message object, a number of bytes to append, or a string: the type to wait for,
// "close" or "finish". The classes insist on wss: NODE_EXTRA_CA_CERTS names the certificate.
import fs from 'node:fs';

const [kind, baseURL, apiKey, file, steps] = process.argv.slice(2);
const data = fs.readFileSync(file);
const got = [];
let rt;
if (kind === '6') {
	const { default: OpenAI } = await import('openai');
	const { OpenAIRealtimeWS } = await import('openai/realtime/ws');
	rt = new OpenAIRealtimeWS({ model: 'gpt-4o-transcribe' }, new OpenAI({ apiKey, baseURL }));
} else if (kind === '7') {
	const { default: OpenAI } = await import('openai-7');
	const { OpenAIRealtimeWS } = await import('openai-7/realtime/ws');
	rt = new OpenAIRealtimeWS({ intent: 'transcription' }, new OpenAI({ apiKey, baseURL }));
} else {
	const { default: OpenAI } = await import('openai-7');
	const { OpenAIRealtimeTranslationWS } = await import('openai-7/realtime/translations/ws');
	rt = await OpenAIRealtimeTranslationWS.create(new OpenAI({ apiKey, baseURL }), { model: 'gpt-realtime-translate' });
}
const append = kind === 'translation' ? 'session.input_audio_buffer.append' : 'input_audio_buffer.append';
let waiting = () => {};
const say = (o) => { console.log(JSON.stringify(o)); got.push(o); waiting(); };
rt.on('event', say);
rt.on('error', (e) => { if (!e.error) say({ type: 'client_error', message: e.message }); });
rt.socket.on('close', (code) => { say({ type: 'close', code }); process.exit(0); });
if (rt.socket.readyState !== 1)
	await new Promise((resolve) => rt.socket.on('open', resolve));
let at = 0, seen = 0;
for (const step of JSON.parse(steps)) {
	if (step === 'close') {
		rt.close();
	} else if (step === 'finish') {
		await rt.finish({ timeoutMs: 30000 });
		say({ type: 'finished' });
	} else if (typeof step === 'number') {
		const end = Math.min(data.length, at + step);
		for (; at < end; at += 9600)
			rt.send({ type: append, audio: data.subarray(at, Math.min(end, at + 9600)).toString('base64') });
		at = end;
	} else if (typeof step === 'string') {
		let i;
		while ((i = got.findIndex((m, k) => k >= seen && m.type === step)) < 0)
			await new Promise((r) => { waiting = r; });
		seen = i + 1;
	} else {
		rt.send(step);
	}
}
