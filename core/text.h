/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, base64 and hex over counted bytes. Pure; used on the event path. */
#ifndef MBUS_CORE_TEXT_H
#define MBUS_CORE_TEXT_H

#include <stdint.h>

#include "core/buf.h"

/* Strict UTF-8 (no surrogates, no overlong forms, nothing over U+10FFFF). */
bool utf8_valid(const char *p, size_t n);
/* Length of the valid sequence at p (1...4), 0 if the byte begins none. */
unsigned utf8_seq(const char *p, size_t n);
/* Its code point; the sequence must be valid. */
uint32_t utf8_decode(const char *p, unsigned len);
/* Does the valid sequence at p only show something? Not so what acts on a terminal or
 * hides what is there: C0 and C1 controls, DEL, line separators, bidirectional
 * controls, characters without a width. */
bool utf8_is_shown(const char *p, unsigned len);
/* Writes cp as UTF-8, returns 1...4. */
unsigned utf8_encode(char out[4], uint32_t cp);

/* RFC 4648 standard alphabet, padded. */
static inline size_t base64_len(size_t n) { return (n + 2) / 3 * 4; }
/* Writes exactly base64_len(n) bytes at out. */
void base64_encode(char *out, const void *p, size_t n);
void buf_add_base64(struct buf *, const void *p, size_t n);
/* Decodes as Go's base64.StdEncoding does: padding required, CR and LF
 * skipped. out may be p itself (in place) and needs n / 4 * 3 bytes. Returns
 * false and, in *len, Go's offset of the first bad byte. */
bool base64_decode(char *out, size_t *len, const char *p, size_t n);
/* Only the plain part: whole groups of four, up to the first that holds anything
 * but the alphabet. Returns how many characters that was, 4 for every 3 bytes at
 * out; out may be p, and of p nothing behind them is touched. */
size_t base64_decode_groups(char *out, const char *p, size_t n);

/* Lower case, 2n bytes. */
void hex_encode(char *out, const void *p, size_t n);
/* n must be even; false if a byte is no hex digit (either case). out may be p. */
bool hex_decode(char *out, const char *p, size_t n);

#endif
