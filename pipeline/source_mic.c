/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A microphone through PortAudio. Its callback copies into a lock-free queue of
 * blocks and rings a bell: it allocates, locks and logs nothing. One thread of
 * ours takes the blocks, gives them times and feeds them; it also opens the
 * device and opens it again when it is lost.
 *
 * Not every device is hardware: one that hands out samples faster than time goes
 * by (ALSA's file plug-in) is held to the clock in its own callback, so that its
 * sound comes whole and its times are true.
 *
 * Time: samples are counted (the device's own clock), the count tied to the
 * local clock at the first block; what is lost is added to the count, and the
 * timeline watches the drift between both.
 */
#include "pipeline/source_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/feed.h"
#include "pipeline/timeline.h"

#ifdef LVX_HAVE_ALSA
#include <alsa/asoundlib.h>
#endif
#include <dlfcn.h>
#include <portaudio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	BLOCKS = 2048,	   /* QUEUE_SECONDS in blocks of a millisecond; a power of two */
	CHANNELS_MAX = 16,
	VIRTUAL_CHANNELS = 32,
	QUEUE_SECONDS = 2,
	FRAMES_MAX = 8192, /* of one block handed on */
};
static const int64_t stall_default_us = 5000000;
static const int64_t backoff_first_us = 500000, backoff_max_us = 30000000;
static const int64_t loss_min_us = 20000; /* less is jitter of the callback */
static const int64_t ahead_max_us = 100000; /* no hardware delivers before its time */
static const int64_t forgive_us = 2000;	    /* in 10 s: crystals are better than that */

struct block {
	uint32_t frames;
	uint64_t lost;	/* frames that the queue had no room for, right before it */
	bool overflow;	/* the device lost some, nobody knows how many */
	int64_t end_us; /* local time of its end */
};

struct mic {
	struct lvx_source base;
	char name[128]; /* "": the default device */
	int channel;
	int64_t stall_us, give_up_us;
	struct lvx_ring *ring; /* borrowed */
	double ring_rate;
	struct lvx_feed *feed;
	struct lvx_bell *bell;
	struct lvx_state_teller teller; /* thread's */
	pthread_t thread;
	_Atomic bool stop;

	/* While the stream runs these are the callback's and the thread's. */
	PaStream *stream;
	uint32_t rate, channels;
	int16_t *pcm;	 /* [pcm_frames * channels], circular */
	size_t pcm_frames;
	struct block blocks[BLOCKS];
	_Atomic uint64_t pcm_head, pcm_tail;	 /* frames; head: callback, tail: thread */
	_Atomic uint64_t block_head, block_tail;
	uint64_t pending_lost; /* callback only */
	bool pending_overflow; /* callback only */
	int64_t began_us;      /* callback only: local time of the first block */
	uint64_t delivered;    /* callback only: frames since then */

	/* Thread only. */
	uint64_t count;	      /* frames since the timeline's 0 of this connection */
	int64_t first_end_us, least_late_us;
	bool started;
	float out[FRAMES_MAX * CHANNELS_MAX];

	pthread_mutex_t lock;
	struct lvx_timeline timeline; /* {lock} */
	_Atomic uint64_t lost_frames, overflows, reconnects;
};

/* Pa_Initialize and the like are not free-threaded. */
static pthread_mutex_t pa_lock = PTHREAD_MUTEX_INITIALIZER;

#ifdef LVX_HAVE_ALSA
/* ALSA tells stderr of every device that is not there. */
LVX_PRINTF(5, 6)
static void on_alsa_error(
	const char *file, int line, const char *function, int code, const char *fmt, ...)
{
	(void)file, (void)line, (void)code;
	char text[200];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	lvx_log_debug("alsa: %s: %s", function, text);
}
#endif

/* And so does JACK, where PortAudio brings it along, of a server that does not run. */
static void on_jack_text(const char *text)
{
	lvx_log_debug("jack: %s", text);
}

static void quiet_jack(void)
{
	static const char *const names[] = {"jack_set_error_function", "jack_set_info_function"};
	for (int i = 0; i < 2; i++) {
		void (*set)(void (*)(const char *));
		*(void **)&set = dlsym(RTLD_DEFAULT, names[i]);
		if (set)
			set(on_jack_text);
	}
}

/* {pa_lock} Each success wants its Pa_Terminate. */
static PaError initialize(void)
{
	quiet_jack();
#ifdef LVX_HAVE_ALSA
	snd_lib_error_set_handler(on_alsa_error);
#endif
	return Pa_Initialize();
}

/* ---- callback: real time ---- */

/* Sleeps off what a device that is not hardware is ahead of the clock. */
static void hold_to_clock(struct mic *m, unsigned long n, int64_t now)
{
	if (m->delivered == 0)
		m->began_us = now;
	m->delivered += n;
	int64_t ahead_us = (int64_t)(m->delivered * 1000000 / m->rate) - (now - m->began_us);
	if (ahead_us > ahead_max_us) {
		lvx_sleep_us(ahead_us - ahead_max_us);
		ahead_us = ahead_max_us;
		now = lvx_now_us();
	}
	/* Hardware whose clock is a little fast must not add up to this over weeks. */
	if (now - m->began_us > 10000000) {
		ahead_us = ahead_us > forgive_us ? ahead_us - forgive_us : 0;
		m->began_us = now - ahead_max_us;
		m->delivered = (uint64_t)(ahead_max_us + ahead_us) * m->rate / 1000000;
	}
}

static int on_audio(const void *input, void *output, unsigned long n,
	const PaStreamCallbackTimeInfo *info, PaStreamCallbackFlags flags, void *user)
{
	(void)output;
	struct mic *m = user;
	int64_t now = lvx_now_us();
	/* How old the block's first sample is; not every host says it truly. */
	double age = info ? info->currentTime - info->inputBufferAdcTime : 0.0;
	int64_t span_us = (int64_t)n * 1000000 / m->rate;
	int64_t late_us = (int64_t)(age * 1e6) - span_us;
	if (!(age > 0.0) || age > 1.0 || late_us < 0)
		late_us = 0;

	hold_to_clock(m, n, now);
	if (flags & paInputOverflow)
		m->pending_overflow = true;
	uint64_t head = atomic_load_explicit(&m->pcm_head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&m->pcm_tail, memory_order_acquire);
	uint64_t bh = atomic_load_explicit(&m->block_head, memory_order_relaxed);
	uint64_t bt = atomic_load_explicit(&m->block_tail, memory_order_acquire);
	if (!input || m->pcm_frames - (head - tail) < n || bh - bt >= BLOCKS) {
		m->pending_lost += n;
		atomic_fetch_add_explicit(&m->lost_frames, n, memory_order_relaxed);
		return paContinue;
	}
	size_t at = head % m->pcm_frames;
	size_t part = n < m->pcm_frames - at ? n : m->pcm_frames - at;
	const int16_t *in = input;
	memcpy(m->pcm + at * m->channels, in, part * m->channels * sizeof(*in));
	memcpy(m->pcm, in + part * m->channels, (n - part) * m->channels * sizeof(*in));
	m->blocks[bh % BLOCKS] = (struct block){
		.frames = (uint32_t)n,
		.lost = m->pending_lost,
		.overflow = m->pending_overflow,
		.end_us = now - late_us,
	};
	m->pending_lost = 0;
	m->pending_overflow = false;
	atomic_store_explicit(&m->pcm_head, head + n, memory_order_release);
	atomic_store_explicit(&m->block_head, bh + 1, memory_order_release);
	lvx_bell_ring(m->bell);
	return paContinue;
}

/* ---- blocks to the feed (thread) ---- */

/* The count at which the block begins, corrected by what the device lost. */
static void place(struct mic *m, const struct block *b)
{
	m->count += b->lost;
	int64_t end_us = (int64_t)((m->count + b->frames) * 1000000 / m->rate);
	if (!m->started) {
		m->started = true;
		m->first_end_us = b->end_us - end_us;
		m->least_late_us = 0;
	}
	int64_t late_us = b->end_us - m->first_end_us - end_us;
	if (b->overflow) {
		atomic_fetch_add(&m->overflows, 1);
		int64_t lost_us = late_us - m->least_late_us;
		if (lost_us > loss_min_us) {
			uint64_t frames = (uint64_t)lost_us * m->rate / 1000000;
			m->count += frames;
			late_us -= lost_us;
			atomic_fetch_add(&m->lost_frames, frames);
		}
	}
	/* Follows the least delay at once and forgets it slowly (drift). */
	if (late_us < m->least_late_us)
		m->least_late_us = late_us;
	else
		m->least_late_us += (late_us - m->least_late_us) / 256;
}

static enum lvx_status take_block(struct mic *m, const struct block *b, uint64_t tail)
{
	struct lvx_pcm_format format = {.rate = m->rate, .channels = m->channels};
	lvx_pcm_default_roles(&format);
	place(m, b);
	enum lvx_status st = LVX_OK;
	for (uint32_t done = 0; done < b->frames && st == LVX_OK;) {
		uint32_t n = b->frames - done < FRAMES_MAX ? b->frames - done : FRAMES_MAX;
		size_t at = (tail + done) % m->pcm_frames * m->channels;
		for (size_t i = 0; i < (size_t)n * m->channels; i++) {
			m->out[i] = (float)m->pcm[at] / 32768.0f;
			if (++at == m->pcm_frames * m->channels)
				at = 0;
		}
		int64_t src_us = (int64_t)(m->count * 1000000 / m->rate);
		pthread_mutex_lock(&m->lock);
		int64_t pts_us = lvx_timeline_map(&m->timeline, LVX_SOUND, src_us,
			(int64_t)n * 1000000 / m->rate, b->end_us);
		pthread_mutex_unlock(&m->lock);
		st = lvx_feed_sound(m->feed, &format, m->out, n, pts_us);
		m->count += n;
		done += n;
	}
	return st;
}

/* Takes all blocks that are there. False: none. */
static bool take_blocks(struct mic *m, enum lvx_status *st)
{
	bool any = false;
	*st = LVX_OK;
	while (*st == LVX_OK && !atomic_load(&m->stop)) {
		uint64_t bt = atomic_load_explicit(&m->block_tail, memory_order_relaxed);
		if (bt == atomic_load_explicit(&m->block_head, memory_order_acquire))
			break;
		struct block b = m->blocks[bt % BLOCKS];
		uint64_t tail = atomic_load_explicit(&m->pcm_tail, memory_order_relaxed);
		*st = take_block(m, &b, tail);
		atomic_store_explicit(&m->pcm_tail, tail + b.frames, memory_order_release);
		atomic_store_explicit(&m->block_tail, bt + 1, memory_order_release);
		any = true;
	}
	return any;
}

/* ---- device ---- */

static PaDeviceIndex find_device(const char *name)
{
	if (!name[0])
		return Pa_GetDefaultInputDevice();
	PaDeviceIndex part = paNoDevice;
	for (PaDeviceIndex i = 0; i < Pa_GetDeviceCount(); i++) {
		const PaDeviceInfo *d = Pa_GetDeviceInfo(i);
		if (d->maxInputChannels < 1)
			continue;
		if (strcasecmp(d->name, name) == 0)
			return i;
		if (part == paNoDevice && strcasestr(d->name, name))
			part = i;
	}
	return part;
}

static enum lvx_status open_device(struct mic *m, struct lvx_error *err)
{
	PaDeviceIndex index = find_device(m->name);
	if (index == paNoDevice)
		return m->name[0] ? lvx_fail(err, LVX_ENOENT,
					    "mic: there is no input device \"%s\"", m->name)
				  : lvx_fail(err, LVX_ENOENT, "mic: there is no input device");
	const PaDeviceInfo *d = Pa_GetDeviceInfo(index);
	int max = d->maxInputChannels < CHANNELS_MAX ? d->maxInputChannels : CHANNELS_MAX;
	if (m->channel >= max)
		return lvx_fail(err, LVX_EINVAL, "mic: \"%s\" has no channel %d of %d", d->name,
			m->channel, d->maxInputChannels);
	PaStreamParameters in = {
		.device = index,
		.channelCount = m->channel >= 0 ? m->channel + 1 : max < 2 ? max : 2,
		.sampleFormat = paInt16,
		.suggestedLatency = d->defaultLowInputLatency,
	};
	double rate = d->defaultSampleRate;
	/* So many channels are no hardware but a converter (ALSA's plug, a sound
	 * server): it is asked for just what the ring holds. */
	if (d->maxInputChannels >= VIRTUAL_CHANNELS) {
		PaStreamParameters mono = in;
		if (m->channel < 0)
			mono.channelCount = 1;
		if (Pa_IsFormatSupported(&mono, NULL, m->ring_rate) == paFormatIsSupported) {
			in = mono;
			rate = m->ring_rate;
		}
	}
	m->rate = (uint32_t)(rate + 0.5);
	m->channels = (uint32_t)in.channelCount;
	m->pcm_frames = (size_t)m->rate * QUEUE_SECONDS;
	free(m->pcm);
	m->pcm = calloc(m->pcm_frames * m->channels, sizeof(*m->pcm));
	if (!m->pcm)
		return lvx_fail(err, LVX_ENOMEM, "mic: out of memory");
	m->pcm_head = m->pcm_tail = m->block_head = m->block_tail = 0;
	m->pending_lost = 0;
	m->pending_overflow = false;
	m->delivered = 0;
	PaError e = Pa_OpenStream(&m->stream, &in, NULL, rate, paFramesPerBufferUnspecified,
		paClipOff | paDitherOff, on_audio, m);
	if (e == paNoError) {
		e = Pa_StartStream(m->stream);
		if (e == paNoError)
			return LVX_OK;
		Pa_CloseStream(m->stream);
	}
	m->stream = NULL;
	return lvx_fail(err, LVX_EIO, "mic: \"%s\": %s", d->name, Pa_GetErrorText(e));
}

static enum lvx_status connect_mic(struct mic *m, struct lvx_error *err)
{
	pthread_mutex_lock(&pa_lock);
	PaError e = initialize();
	enum lvx_status st = e == paNoError
				     ? open_device(m, err)
				     : lvx_fail(err, LVX_EIO, "mic: %s", Pa_GetErrorText(e));
	if (e == paNoError && st != LVX_OK)
		Pa_Terminate();
	pthread_mutex_unlock(&pa_lock);
	return st;
}

static void disconnect_mic(struct mic *m)
{
	pthread_mutex_lock(&pa_lock);
	Pa_AbortStream(m->stream);
	Pa_CloseStream(m->stream);
	m->stream = NULL;
	Pa_Terminate();
	pthread_mutex_unlock(&pa_lock);
}

/* Runs one connection. LVX_OK: told to stop; else *err says what broke. */
static enum lvx_status run_once(struct mic *m, bool again, struct lvx_error *err)
{
	enum lvx_status st = connect_mic(m, err);
	if (st != LVX_OK)
		return st;
	m->started = false;
	m->count = 0;
	bool live = false;
	int64_t last_us = lvx_now_us();
	while (!atomic_load(&m->stop)) {
		lvx_bell_wait(m->bell, 50000);
		int64_t now = lvx_now_us();
		if (take_blocks(m, &st)) {
			last_us = now;
			if (!live && again)
				atomic_fetch_add(&m->reconnects, 1);
			live = true;
			lvx_tell_state(&m->teller, LVX_SOURCE_LIVE, "%s", "");
		} else if (now - last_us > 2 * m->stall_us) {
			st = lvx_fail(err, LVX_EIO, "mic: nothing came for %.1f s",
				(double)(now - last_us) * 1e-6);
		} else if (now - last_us > m->stall_us) {
			lvx_tell_state(&m->teller, LVX_SOURCE_STALLED, "%s", "");
		} else if (Pa_IsStreamActive(m->stream) != 1) {
			st = lvx_fail(err, LVX_EIO, "mic: the device stopped");
		}
		if (st != LVX_OK)
			break;
	}
	disconnect_mic(m);
	if (st == LVX_END || atomic_load(&m->stop))
		return LVX_OK;
	return st;
}

static void *run(void *user)
{
	struct mic *m = user;
	struct lvx_error err = {0};
	int64_t lost_us = lvx_now_us();
	enum lvx_status st;
	lvx_tell_state(&m->teller, LVX_SOURCE_STARTING, "%s", "");
	for (int n = 0;; n++) {
		bool again = m->timeline.started;
		st = run_once(m, again, &err);
		if (st == LVX_OK || st == LVX_EINVAL || (st == LVX_ENOENT && !again))
			break;
		int64_t now = lvx_now_us();
		if (m->teller.state == LVX_SOURCE_LIVE || m->teller.state == LVX_SOURCE_STALLED) {
			lost_us = now;
			n = 0;
		}
		if (m->give_up_us && now - lost_us > m->give_up_us)
			break;
		pthread_mutex_lock(&m->lock);
		lvx_timeline_reconnect(&m->timeline);
		pthread_mutex_unlock(&m->lock);
		lvx_tell_state(&m->teller, LVX_SOURCE_RECONNECTING, "%s", err.msg);
		int64_t until = now + (n < 6 ? backoff_first_us << n : backoff_max_us);
		while (!atomic_load(&m->stop) && lvx_now_us() < until)
			lvx_sleep_us(20000);
		if (atomic_load(&m->stop)) {
			st = LVX_OK;
			break;
		}
	}
	if (!atomic_load(&m->stop))
		lvx_feed_end_sound(m->feed);
	lvx_ring_finish(m->ring);
	if (st == LVX_OK)
		lvx_tell_state(&m->teller, LVX_SOURCE_ENDED, "%s", "");
	else
		lvx_tell_state(&m->teller, LVX_SOURCE_FAILED, "%s", err.msg);
	return NULL;
}

/* ---- life ---- */

static void get_stats(const struct lvx_source *source, struct lvx_source_stats *out)
{
	/* The lock is not part of what is const about it. */
	struct mic *m = (struct mic *)(uintptr_t)source;
	pthread_mutex_lock(&m->lock);
	*out = (struct lvx_source_stats){
		.pts_jumps = m->timeline.jumps + m->timeline.reanchors,
		.reconnects = atomic_load(&m->reconnects),
		.input_overruns = atomic_load(&m->lost_frames),
		.drift_ppm = m->timeline.drift_ppm,
		.duration_us = -1,
	};
	pthread_mutex_unlock(&m->lock);
}

static void release(struct mic *m)
{
	lvx_feed_destroy(m->feed);
	lvx_bell_destroy(m->bell);
	pthread_mutex_destroy(&m->lock);
	free(m->pcm);
	free(m);
}

static void close_mic(struct lvx_source *source)
{
	struct mic *m = (struct mic *)source;
	atomic_store(&m->stop, true);
	lvx_ring_cancel(m->ring);
	lvx_feed_interrupt(m->feed, true);
	lvx_bell_ring(m->bell);
	pthread_join(m->thread, NULL);
	release(m);
}

enum lvx_status lvx_mic_open(struct lvx_source **out, const struct lvx_source_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err)
{
	struct mic *m = calloc(1, sizeof(*m));
	if (!m)
		return lvx_fail(err, LVX_ENOMEM, "mic: out of memory");
	m->base.close = close_mic;
	m->base.get_stats = get_stats;
	snprintf(m->name, sizeof(m->name), "%s", strchr(params->uri, ':') + 1);
	m->channel = params->channel;
	m->stall_us = params->stall_us > 0 ? params->stall_us : stall_default_us;
	m->give_up_us = params->give_up_us;
	m->ring = ring;
	struct lvx_ring_params rp;
	lvx_ring_get_params(ring, &rp);
	m->ring_rate = rp.sample_rate;
	m->teller.cb = *cb;
	pthread_mutex_init(&m->lock, NULL);
	lvx_timeline_init(&m->timeline, true, true);
	struct lvx_feed_params fp = {.ring = ring, .channel = params->channel};
	enum lvx_status st = lvx_bell_create(&m->bell, err);
	if (st == LVX_OK)
		st = lvx_feed_create(&m->feed, &fp, err);
	if (st == LVX_OK) {
		lvx_feed_set_media(m->feed, true, false);
		if (pthread_create(&m->thread, NULL, run, m) != 0)
			st = lvx_fail(err, LVX_EIO, "mic: cannot start a thread");
	}
	if (st != LVX_OK) {
		release(m);
		return st;
	}
	*out = &m->base;
	return LVX_OK;
}

int lvx_mic_list(struct lvx_audio_device *out, int max, struct lvx_error *err)
{
	pthread_mutex_lock(&pa_lock);
	PaError e = initialize();
	if (e != paNoError) {
		pthread_mutex_unlock(&pa_lock);
		lvx_fail(err, LVX_EIO, "mic: %s", Pa_GetErrorText(e));
		return -1;
	}
	int n = 0;
	for (PaDeviceIndex i = 0; i < Pa_GetDeviceCount(); i++) {
		const PaDeviceInfo *d = Pa_GetDeviceInfo(i);
		if (d->maxInputChannels < 1)
			continue;
		if (n < max) {
			out[n] = (struct lvx_audio_device){
				.max_channels = d->maxInputChannels,
				.default_rate = d->defaultSampleRate,
				.is_default = i == Pa_GetDefaultInputDevice(),
			};
			snprintf(out[n].name, sizeof(out[n].name), "%s", d->name);
		}
		n++;
	}
	Pa_Terminate();
	pthread_mutex_unlock(&pa_lock);
	return n;
}
