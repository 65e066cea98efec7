// SPDX-License-Identifier: Apache-2.0
// rest.mjs URL KEY FILE OPTIONS: what npm's openai makes of a transcription, one JSON line.
import fs from 'node:fs';
import OpenAI from 'openai';

const [baseURL, apiKey, file, options] = process.argv.slice(2);
const client = new OpenAI({ apiKey, baseURL, maxRetries: 0 });
try {
	const got = await client.audio.transcriptions.create({ file: fs.createReadStream(file), model: 'whisper-1',
		...JSON.parse(options) });
	if (got?.[Symbol.asyncIterator]) {
		const events = [];
		for await (const e of got)
			events.push(e);
		console.log(JSON.stringify({ kind: 'events', got: events }));
	} else {
		console.log(JSON.stringify({ kind: typeof got, got }));
	}
} catch (e) {
	console.log(JSON.stringify({ kind: 'error', status: e.status, code: e.code, type: e.type, message: e.message }));
}
