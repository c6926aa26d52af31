/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of NATS as text: see nats_key.h. */
#include "backends/proto/nats_key.h"

enum {
	SEED_BYTES = 2 + NATS_KEY + 2,
	PUBLIC_BYTES = 1 + NATS_KEY + 2,
	KIND_SEED = 18 << 3,			/* 'S' */
	KIND_USER = 20 << 3			/* 'U' */
};

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* CRC-16/XMODEM */
static unsigned
check_sum(const unsigned char *p, size_t n)
{
	unsigned crc = 0;

	while (n--) {
		crc ^= (unsigned)*p++ << 8;
		for (int i = 0; i < 8; i++)
			crc = (crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
	}
	return crc;
}

static struct bytes
trimmed(struct bytes s)
{
	while (s.n && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1])
		s.n--;
	while (s.n && *s.p && strchr(" \t\r\n", *s.p)) {
		s.p++;
		s.n--;
	}
	return s;
}

const char *
nats_seed_read(struct bytes text, unsigned char seed[NATS_KEY])
{
	unsigned char raw[SEED_BYTES + 1] = { 0 };
	const char *why = NULL;
	unsigned bits = 0, have = 0;
	size_t n = 0;

	text = trimmed(text);
	if (text.n != NATS_SEED_TEXT || *text.p != 'S')
		return "it is no seed (one begins with SU and has 58 characters)";
	for (size_t i = 0; i < text.n; i++) {
		const char *at = text.p[i] ? strchr(base32, text.p[i]) : NULL;

		if (!at)
			why = "it is no seed: it has what base32 has not";
		bits = (bits << 5 | (unsigned)(at ? at - base32 : 0)) & 0xfff;
		have += 5;
		if (have >= 8) {
			have -= 8;
			raw[n++] = (unsigned char)(bits >> have);
		}
	}
	if (!why && check_sum(raw, SEED_BYTES - 2) !=
	    (raw[SEED_BYTES - 2] | (unsigned)raw[SEED_BYTES - 1] << 8))
		why = "its check sum is wrong";
	if (!why && ((raw[0] & 0xf8) != KIND_SEED || ((raw[0] & 7) << 5 | raw[1] >> 3) != KIND_USER))
		why = "it is the seed of something else than a user";
	if (!why)
		memcpy(seed, raw + 2, NATS_KEY);
	explicit_bzero(raw, sizeof raw);
	return why;
}

void
nats_public_text(const unsigned char key[NATS_KEY], char text[NATS_PUBLIC_TEXT + 1])
{
	unsigned char raw[PUBLIC_BYTES];
	unsigned bits = 0, have = 0, crc;
	size_t n = 0;

	raw[0] = KIND_USER;
	memcpy(raw + 1, key, NATS_KEY);
	crc = check_sum(raw, PUBLIC_BYTES - 2);
	raw[PUBLIC_BYTES - 2] = (unsigned char)crc;
	raw[PUBLIC_BYTES - 1] = (unsigned char)(crc >> 8);
	for (size_t i = 0; i < PUBLIC_BYTES; i++) {
		bits = (bits << 8 | raw[i]) & 0xfff;
		for (have += 8; have >= 5; have -= 5)
			text[n++] = base32[bits >> (have - 5) & 31];
	}
	text[n] = '\0';
}

void
nats_add_base64url(struct buf *b, const unsigned char *p, size_t n)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < n; i++) {
		bits = (bits << 8 | p[i]) & 0xffff;
		for (have += 8; have >= 6; have -= 6)
			buf_add_ch(b, set[bits >> (have - 6) & 63]);
	}
	if (have)
		buf_add_ch(b, set[bits << (6 - have) & 63]);
}

/* Behind the line that has these words, up to the next that begins with a dash. */
static bool
section(struct bytes file, const char *words, struct bytes *out)
{
	const char *at = file.n ? memmem(file.p, file.n, words, strlen(words)) : NULL;
	const char *end = file.p + file.n, *begin, *p;

	at = at ? memchr(at, '\n', (size_t)(end - at)) : NULL;
	if (!at)
		return false;
	for (p = begin = at + 1; p < end && *p != '-';) {
		at = memchr(p, '\n', (size_t)(end - p));
		p = at ? at + 1 : end;
	}
	*out = trimmed(bytes_of(begin, (size_t)(p - begin)));
	return out->n > 0;
}

bool
nats_creds_split(struct bytes file, struct bytes *jwt, struct bytes *seed)
{
	*jwt = *seed = BYTES("");
	return section(file, "BEGIN NATS USER JWT", jwt) && section(file, "BEGIN USER NKEY SEED", seed);
}
