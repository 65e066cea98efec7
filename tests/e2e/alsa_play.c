/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ALSA microphone that hears a file, at the pace of the clock, then silence:
 *
 *   pcm_type.lvxplay { lib /path/to/libasound_module_pcm_lvxplay.so }
 *   pcm.!default { type lvxplay  file /path/to/s16le.pcm  rate 16000  started /path/to/note }
 *
 * When the capture starts, the moment of the first sample is written to `started`
 * (CLOCK_MONOTONIC in ns, as text), so that a test knows when each word ended. A capture that
 * starts again, after an overrun, goes on where the file would be by then. The buffer is deep
 * and the periods are short: a busy machine loses nothing.
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <alsa/pcm_ioplug.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { TICK_NS = 2000000 };

struct play {
	snd_pcm_ioplug_t io;
	FILE *file;
	char *started;
	int64_t start_ns;       /* 0: not running */
	int64_t first_ns;       /* of the file's first sample; 0: not yet */
	snd_pcm_uframes_t last; /* frames that had come when pointer was last asked for */
};

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void set_timer(int fd, long ns)
{
	struct itimerspec t = {.it_interval.tv_nsec = ns, .it_value.tv_nsec = ns};
	timerfd_settime(fd, 0, &t, NULL);
}

static int on_start(snd_pcm_ioplug_t *io)
{
	struct play *p = io->private_data;
	p->start_ns = now_ns();
	p->last = 0;
	bool again = p->first_ns != 0;
	if (!again)
		p->first_ns = p->start_ns;
	fseek(p->file, (long)((p->start_ns - p->first_ns) * io->rate / 1000000000) * 2, SEEK_SET);
	set_timer(io->poll_fd, TICK_NS);
	FILE *note = p->started && !again ? fopen(p->started, "w") : NULL;
	if (note) {
		fprintf(note, "%lld\n", (long long)p->start_ns);
		fclose(note);
	}
	return 0;
}

static int on_stop(snd_pcm_ioplug_t *io)
{
	struct play *p = io->private_data;
	p->start_ns = 0;
	set_timer(io->poll_fd, 0);
	return 0;
}

static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io)
{
	struct play *p = io->private_data;
	if (!p->start_ns)
		return 0;
	snd_pcm_uframes_t come =
		(snd_pcm_uframes_t)((now_ns() - p->start_ns) * io->rate / 1000000000);
	if (come - p->last >= io->buffer_size)
		return -EPIPE;
	p->last = come;
	return (snd_pcm_sframes_t)(come % io->buffer_size);
}

static snd_pcm_sframes_t on_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
	snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct play *p = io->private_data;
	int16_t *to = (int16_t *)((char *)areas->addr + (areas->first + areas->step * offset) / 8);
	size_t n = fread(to, sizeof(*to), size, p->file);
	memset(to + n, 0, (size - n) * sizeof(*to));
	return (snd_pcm_sframes_t)size;
}

static int on_poll(
	snd_pcm_ioplug_t *io, struct pollfd *pfd, unsigned int n, unsigned short *revents)
{
	uint64_t ticks;
	(void)n;
	*revents = 0;
	if (pfd->revents & POLLIN) {
		if (read(pfd->fd, &ticks, sizeof(ticks)) < 0)
			return 0;
		snd_pcm_sframes_t avail = snd_pcm_avail_update(io->pcm);
		if (avail < 0 || (snd_pcm_uframes_t)avail >= io->period_size)
			*revents = POLLIN;
	}
	return 0;
}

static int on_close(snd_pcm_ioplug_t *io)
{
	struct play *p = io->private_data;
	close(io->poll_fd);
	fclose(p->file);
	free(p->started);
	free(p);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = on_start,
	.stop = on_stop,
	.pointer = on_pointer,
	.transfer = on_transfer,
	.poll_revents = on_poll,
	.close = on_close,
};

SND_PCM_PLUGIN_DEFINE_FUNC(lvxplay);

SND_PCM_PLUGIN_DEFINE_FUNC(lvxplay)
{
	static const unsigned int access[] = {SND_PCM_ACCESS_RW_INTERLEAVED};
	static const unsigned int formats[] = {SND_PCM_FORMAT_S16_LE};
	const char *file = NULL, *started = NULL;
	long rate = 16000;
	snd_config_iterator_t i, next;
	(void)root;

	snd_config_for_each(i, next, conf)
	{
		snd_config_t *n = snd_config_iterator_entry(i);
		const char *id;
		if (snd_config_get_id(n, &id) < 0)
			continue;
		if (!strcmp(id, "file"))
			snd_config_get_string(n, &file);
		else if (!strcmp(id, "started"))
			snd_config_get_string(n, &started);
		else if (!strcmp(id, "rate"))
			snd_config_get_integer(n, &rate);
	}
	if (stream != SND_PCM_STREAM_CAPTURE || !file)
		return -EINVAL;
	struct play *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->file = fopen(file, "rb");
	if (!p->file) {
		free(p);
		return -ENOENT;
	}
	p->started = started ? strdup(started) : NULL;
	p->io.version = SND_PCM_IOPLUG_VERSION;
	p->io.name = "a file as a microphone";
	p->io.callback = &callbacks;
	p->io.private_data = p;
	p->io.mmap_rw = 0;
	p->io.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	p->io.poll_events = POLLIN;
	int err = snd_pcm_ioplug_create(&p->io, name, stream, mode);
	if (err < 0) {
		on_close(&p->io);
		return err;
	}
	snd_pcm_ioplug_set_param_list(&p->io, SND_PCM_IOPLUG_HW_ACCESS, 1, access);
	snd_pcm_ioplug_set_param_list(&p->io, SND_PCM_IOPLUG_HW_FORMAT, 1, formats);
	snd_pcm_ioplug_set_param_minmax(&p->io, SND_PCM_IOPLUG_HW_CHANNELS, 1, 1);
	snd_pcm_ioplug_set_param_minmax(
		&p->io, SND_PCM_IOPLUG_HW_RATE, (unsigned int)rate, (unsigned int)rate);
	snd_pcm_ioplug_set_param_minmax(&p->io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 160, 640);
	snd_pcm_ioplug_set_param_minmax(&p->io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 65536, 131072);
	snd_pcm_ioplug_set_param_minmax(&p->io, SND_PCM_IOPLUG_HW_PERIODS, 2, 1024);
	*pcmp = p->io.pcm;
	return 0;
}

SND_PCM_PLUGIN_SYMBOL(lvxplay)
