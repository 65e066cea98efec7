/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/pace.h"

#include "clients/cli/cli.h"

#include <libavformat/avformat.h>
#include <stdlib.h>

struct pace {
	AVFormatContext *in;
	AVPacket *packet;
	int64_t first_us;       /* of the first packet; AV_NOPTS_VALUE: not seen */
	int64_t offset, due_us; /* the last that was given */
};

enum lvx_status pace_open(struct pace **out, const char *path, struct lvx_error *err)
{
	struct pace *p = cli_alloc(sizeof(*p));
	av_log_set_level(AV_LOG_QUIET);
	p->first_us = AV_NOPTS_VALUE;
	p->packet = av_packet_alloc();
	if (!p->packet || avformat_open_input(&p->in, path, NULL, NULL) < 0 ||
		avformat_find_stream_info(p->in, NULL) < 0) {
		pace_close(p);
		return lvx_fail(err, LVX_EUNSUPPORTED,
			"%s: not a media file whose clock can be read; use --pace max or --raw",
			path);
	}
	*out = p;
	return LVX_OK;
}

void pace_close(struct pace *p)
{
	if (!p)
		return;
	av_packet_free(&p->packet);
	avformat_close_input(&p->in);
	free(p);
}

enum lvx_status pace_next(struct pace *p, int64_t *offset, int64_t *due_us)
{
	while (av_read_frame(p->in, p->packet) >= 0) {
		const AVStream *s = p->in->streams[p->packet->stream_index];
		int64_t ts = p->packet->dts != AV_NOPTS_VALUE ? p->packet->dts : p->packet->pts;
		/* The packet is whole, and so due, when its last sample has been played. */
		int64_t end = ts == AV_NOPTS_VALUE ? ts
						   : av_rescale_q(ts + p->packet->duration,
							     s->time_base, AV_TIME_BASE_Q);
		int64_t bytes_end = p->packet->pos < 0 ? -1 : p->packet->pos + p->packet->size;
		if (p->first_us == AV_NOPTS_VALUE && ts != AV_NOPTS_VALUE)
			p->first_us = av_rescale_q(ts, s->time_base, AV_TIME_BASE_Q);
		av_packet_unref(p->packet);
		if (ts == AV_NOPTS_VALUE || bytes_end <= p->offset)
			continue;
		p->offset = bytes_end;
		if (end - p->first_us > p->due_us)
			p->due_us = end - p->first_us;
		*offset = p->offset;
		*due_us = p->due_us;
		return LVX_OK;
	}
	return LVX_END;
}
