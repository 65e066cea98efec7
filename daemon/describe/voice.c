/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/voice.h"

#include "daemon/describe/child.h"
#include "daemon/describe/wording.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
	struct lvx_spoken spoken;
	char text[LVX_WORDING_BYTES_MAX], language[16];
	double rate;
};

struct lvx_voice {
	char *command;
	int64_t timeout_us;
	struct lvx_bell *bell;
	pthread_t thread;
	_Atomic bool stop;

	pthread_mutex_t lock;
	pthread_cond_t more;
	/* {lock}: a ring; those before n_done have been spoken. */
	struct job jobs[LVX_VOICE_QUEUE];
	size_t first, n_done, n;
};

enum lvx_status lvx_voice_check(const char *command, struct lvx_error *err)
{
	command += strspn(command, " \t");
	size_t len = strcspn(command, " \t");
	size_t name = len;
	while (name > 0 && command[name - 1] != '/')
		name--;
	if (len == 0)
		return lvx_fail(err, LVX_EINVAL, "describe-voice: a command is missing");
	if (len - name == 7 && strncmp(command + name, "spd-say", 7) == 0)
		return lvx_fail(err, LVX_EINVAL,
			"describe-voice: spd-say plays to the loudspeakers and cannot write sound; "
			"name the voice behind it, such as '%s'",
			LVX_VOICE_USUAL);
	return LVX_OK;
}

/* ---- the thread ---- */

/* Language codes are what stands in a model's files: only what is surely harmless to a shell. */
static void safe_language(char out[16], const char *language)
{
	size_t n = 0;
	for (; language && language[n] && n < 15; n++) {
		if (!isalnum((unsigned char)language[n]) && language[n] != '-')
			break;
		out[n] = language[n];
	}
	out[n] = '\0';
	if (n == 0)
		strcpy(out, "en");
}

static void make_command(struct lvx_text *t, const char *form, const struct job *job)
{
	while (*form) {
		if (strncmp(form, "{wpm}", 5) == 0) {
			lvx_text_printf(t, "%d", (int)(LVX_VOICE_WPM * job->rate + 0.5));
			form += 5;
		} else if (strncmp(form, "{language}", 10) == 0) {
			lvx_text_printf(t, "%s", job->language);
			form += 10;
		} else {
			lvx_text_add(t, form++, 1);
		}
	}
}

static void speak(struct lvx_voice *v, struct job *job)
{
	struct lvx_text command = {0}, wav = {0};
	struct lvx_error err = {0};
	char input[LVX_WORDING_BYTES_MAX + 1];
	make_command(&command, v->command, job);
	snprintf(input, sizeof(input), "%s\n", job->text);
	struct lvx_child_params params = {
		.command = command.data,
		.input = input,
		.timeout_us = v->timeout_us,
		.bytes_max = LVX_CLIP_BYTES_MAX,
		.stop = &v->stop,
	};
	enum lvx_status st = lvx_child_run(&wav, &params, &err);
	if (st == LVX_OK && wav.len == 0)
		st = lvx_fail(&err, LVX_EINVAL, "wrote nothing");
	if (st == LVX_OK)
		st = lvx_clip_read(&job->spoken.clip, (const uint8_t *)wav.data, wav.len, &err);
	if (st != LVX_OK)
		snprintf(job->spoken.why, sizeof(job->spoken.why), "the voice '%.60s': %.240s",
			v->command, err.msg);
	lvx_text_finish(&command);
	lvx_text_finish(&wav);
}

static void *voice_thread(void *user)
{
	struct lvx_voice *v = user;
	pthread_mutex_lock(&v->lock);
	for (;;) {
		while (v->n_done == v->n && !atomic_load(&v->stop))
			pthread_cond_wait(&v->more, &v->lock);
		if (atomic_load(&v->stop))
			break;
		struct job *job = &v->jobs[(v->first + v->n_done) % LVX_VOICE_QUEUE];
		pthread_mutex_unlock(&v->lock);
		speak(v, job); /* till it is done nobody else looks at it */
		pthread_mutex_lock(&v->lock);
		v->n_done++;
		if (v->bell)
			lvx_bell_ring(v->bell);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

/* ---- the owner ---- */

enum lvx_status lvx_voice_create(struct lvx_voice **out, const char *command, int64_t timeout_us,
	struct lvx_bell *bell, struct lvx_error *err)
{
	enum lvx_status st = lvx_voice_check(command, err);
	if (st != LVX_OK)
		return st;
	struct lvx_voice *v = calloc(1, sizeof(*v));
	char *copy = strdup(command);
	if (!v || !copy) {
		free(v);
		free(copy);
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	}
	v->command = copy;
	v->timeout_us = timeout_us > 0 ? timeout_us : LVX_VOICE_TIMEOUT_US;
	v->bell = bell;
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->more, NULL);
	int rc = pthread_create(&v->thread, NULL, voice_thread, v);
	if (rc != 0) {
		pthread_cond_destroy(&v->more);
		pthread_mutex_destroy(&v->lock);
		free(v->command);
		free(v);
		return lvx_fail(err, LVX_ELIMIT, "no thread: %s", strerror(rc));
	}
	*out = v;
	return LVX_OK;
}

void lvx_voice_destroy(struct lvx_voice *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	atomic_store(&v->stop, true);
	pthread_cond_signal(&v->more);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->thread, NULL);
	for (size_t i = 0; i < v->n; i++)
		lvx_clip_destroy(v->jobs[(v->first + i) % LVX_VOICE_QUEUE].spoken.clip);
	pthread_cond_destroy(&v->more);
	pthread_mutex_destroy(&v->lock);
	free(v->command);
	free(v);
}

bool lvx_voice_speak(struct lvx_voice *v, uint64_t id, uint32_t variant, const char *text,
	const char *language, double rate)
{
	pthread_mutex_lock(&v->lock);
	bool room = v->n < LVX_VOICE_QUEUE;
	if (room) {
		struct job *job = &v->jobs[(v->first + v->n++) % LVX_VOICE_QUEUE];
		*job = (struct job){.spoken = {.id = id, .variant = variant}, .rate = rate};
		snprintf(job->text, sizeof(job->text), "%s", text);
		safe_language(job->language, language);
		pthread_cond_signal(&v->more);
	}
	pthread_mutex_unlock(&v->lock);
	return room;
}

bool lvx_voice_take(struct lvx_voice *v, struct lvx_spoken *out)
{
	pthread_mutex_lock(&v->lock);
	bool any = v->n_done > 0;
	if (any) {
		*out = v->jobs[v->first].spoken;
		v->jobs[v->first].spoken.clip = NULL;
		v->first = (v->first + 1) % LVX_VOICE_QUEUE;
		v->n_done--;
		v->n--;
	}
	pthread_mutex_unlock(&v->lock);
	return any;
}

size_t lvx_voice_waiting(struct lvx_voice *v)
{
	pthread_mutex_lock(&v->lock);
	size_t n = v->n;
	pthread_mutex_unlock(&v->lock);
	return n;
}
