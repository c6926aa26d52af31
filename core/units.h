/* SPDX-License-Identifier: Apache-2.0 */
/* Durations and sizes as people write them: "5", "500ms", "2m", "64K", "1MiB". */
#ifndef MBUS_CORE_UNITS_H
#define MBUS_CORE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"

/* What a duration may be at most: in nanoseconds it still fits an int64_t. */
#define UNITS_DURATION_MAX_MS 9223372036854u

/* Milliseconds, rounded up; a bare number is seconds, fractions are allowed
 * ("1.5", "0.2s", ".5"). Units: us ms s m h d. false: not one, negative, or too
 * large. */
bool units_duration_ms(const char *text, uint64_t *ms);
/* Bytes, rounded down; K M G T (either case) are 1024-based, as are KiB MiB GiB
 * TiB; kB MB GB TB are 1000-based. Fractions only with a unit. */
bool units_size(const char *text, uint64_t *bytes);
/* A whole number without sign, at most max. */
bool units_count(const char *text, uint64_t max, uint64_t *n);
/* RFC 3339, UTC, microseconds: "2026-11-21T06:55:30.618709Z" (27 bytes, always:
 * years beyond 0000 to 9999 show as the first or last moment of these). */
void units_add_time_us(struct buf *, int64_t time_us);
/* Reads such a time, with any fraction or none, in any zone. false: it is none, or
 * before 1970. */
bool units_time_us(const char *text, int64_t *time_us);
/* The same with milliseconds, as the default output has it (24 bytes). */
void units_add_time_ms(struct buf *, int64_t time_us);
/* "2.44 MiB", "512 B" */
void units_add_size(struct buf *, uint64_t bytes);
/* "1.20 ms", "850 ns"; seconds are the largest unit */
void units_add_duration_ns(struct buf *, uint64_t ns);
/* "100,000": thousands grouped for people. */
void units_add_count(struct buf *, uint64_t n);

#endif
