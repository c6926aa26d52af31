/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8, base64 and hex. See text.h.
 *
 * Every event of go-micro's envelope goes through base64 and every event line
 * through the UTF-8 check, so both have a fast way for what is common (whole
 * groups, ASCII) and a slow one that is exact about the rest. On x86-64 the
 * base64 groups go 16 characters at a time where the CPU has SSSE3 (asked at
 * run time: Debian's baseline is older); the loop behind it does the rest, and
 * everything on other machines.
 */
#include "core/text.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define TEXT_SSSE3 1
#include <cpuid.h>
#include <tmmintrin.h>
#else
#define TEXT_SSSE3 0
#endif

/* ---- UTF-8 ---- */

static inline bool
is_cont(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* A sequence of two bytes or more; p[0] is over 0x7f and n is not 0. */
static inline unsigned
seq_long(const unsigned char *p, size_t n)
{
	unsigned char c = p[0];

	if (c < 0xc2 || c > 0xf4 || n < 2)
		return 0;
	if (c < 0xe0)
		return is_cont(p[1]) ? 2 : 0;
	if (c < 0xf0) {
		/* E0: no overlong forms; ED: no surrogates. */
		unsigned char lo = c == 0xe0 ? 0xa0 : 0x80, hi = c == 0xed ? 0x9f : 0xbf;

		return n >= 3 && p[1] >= lo && p[1] <= hi && is_cont(p[2]) ? 3 : 0;
	}
	/* F0: no overlong forms; F4: nothing over U+10FFFF. */
	unsigned char lo = c == 0xf0 ? 0x90 : 0x80, hi = c == 0xf4 ? 0x8f : 0xbf;

	return n >= 4 && p[1] >= lo && p[1] <= hi && is_cont(p[2]) && is_cont(p[3]) ? 4 : 0;
}

unsigned
utf8_seq(const char *p, size_t n)
{
	if (n == 0)
		return 0;
	return (unsigned char)*p < 0x80 ? 1 : seq_long((const unsigned char *)p, n);
}

/* How many bytes at p are ASCII, rounded down to what whole words say. */
static inline size_t
ascii_run(const unsigned char *p, size_t n)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t w[4];
	size_t i = 0;

	for (; n - i >= sizeof w; i += sizeof w) {
		memcpy(w, p + i, sizeof w);
		if ((w[0] | w[1] | w[2] | w[3]) & high)
			break;
	}
	for (; n - i >= sizeof *w; i += sizeof *w) {
		memcpy(w, p + i, sizeof *w);
		if (w[0] & high)
			break;
	}
	return i;
}

bool
utf8_valid(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;

	while (n) {
		size_t run = ascii_run(p, n);

		p += run, n -= run;
		while (n && *p < 0x80)
			p++, n--;
		while (n && *p >= 0x80) {
			unsigned len = seq_long(p, n);

			if (!len)
				return false;
			p += len, n -= len;
		}
	}
	return true;
}

uint32_t
utf8_decode(const char *text, unsigned len)
{
	const unsigned char *p = (const unsigned char *)text;

	switch (len) {
	case 2:
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	case 3:
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	case 4:
		return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 |
			(p[3] & 0x3fu);
	}
	return p[0];
}

bool
utf8_is_shown(const char *text, unsigned len)
{
	static const struct { uint32_t first, last; } hidden[] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f },		/* C0, DEL, C1 */
		{ 0xad, 0xad },				/* soft hyphen */
		{ 0x061c, 0x061c }, { 0x180e, 0x180e },
		{ 0x200b, 0x200f },			/* no width; marks of direction */
		{ 0x2028, 0x202e },			/* separators; embeddings, overrides */
		{ 0x2060, 0x206f },			/* no width; isolates */
		{ 0xfeff, 0xfeff }, { 0xfff9, 0xfffb },
		{ 0xe0000, 0xe007f },			/* tags */
	};
	uint32_t cp = utf8_decode(text, len);

	if (cp >= 0x20 && cp < 0x7f)
		return true;
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (cp <= hidden[i].last)
			return cp < hidden[i].first;
	return true;
}

unsigned
utf8_encode(char out[4], uint32_t cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* ---- base64 ---- */

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of each character plus one, so that 0 means "not in the alphabet". */
static const unsigned char sextet[256] = {
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
	22, 23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45,
	46, 47, 48, 49, 50, 51, 52,
	['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
	['+'] = 63, ['/'] = 64
};

#if TEXT_SSSE3
/* 12 bytes to 16 characters, as long as 16 may be read. Returns how many bytes
 * were encoded. */
__attribute__((target("ssse3"))) static size_t
encode_ssse3(char *out, const unsigned char *p, size_t n)
{
	/* Three bytes abc become b a c b, so that each sextet lies in one 16 bit
	 * half and a multiplication shifts it to where it belongs. */
	const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
	/* What to add to a sextet, by its class: 0 for a-z, 1...10 for digits, 11
	 * and 12 for + and /, 13 for A-Z. */
	const __m128i add = _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
		'0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62,
		'/' - 63, 'A', 0, 0);
	size_t i = 0;

	for (; n - i >= 16; i += 12, out += 16) {
		__m128i v = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(p + i)), spread);
		__m128i ac = _mm_mulhi_epu16(_mm_and_si128(v, _mm_set1_epi32(0x0fc0fc00)),
			_mm_set1_epi32(0x04000040));
		__m128i bd = _mm_mullo_epi16(_mm_and_si128(v, _mm_set1_epi32(0x003f03f0)),
			_mm_set1_epi32(0x01000010));
		__m128i six = _mm_or_si128(ac, bd);
		__m128i class = _mm_subs_epu8(six, _mm_set1_epi8(51));
		__m128i upper = _mm_cmplt_epi8(six, _mm_set1_epi8(26));

		class = _mm_or_si128(class, _mm_and_si128(upper, _mm_set1_epi8(13)));
		_mm_storeu_si128((void *)out, _mm_add_epi8(six, _mm_shuffle_epi8(add, class)));
	}
	return i;
}

/* 16 characters to 12 bytes; writes 16, so it ends while six groups are left.
 * Returns how many characters were decoded; stops before any that is bad. */
__attribute__((target("ssse3"))) static size_t
decode_ssse3(char *out, const char *p, size_t n)
{
	/* A character is good if no class of its high half is among the classes
	 * that its low half is bad for. Classes: 1 + and /, 2 digits, 4 columns
	 * 4 and 6 of ASCII, 8 columns 5 and 7, 16 all else, never good. */
	const __m128i class = _mm_setr_epi8(16, 16, 1, 2, 4, 8, 4, 8, 16, 16, 16, 16, 16, 16, 16,
		16);
	const __m128i bad_for = _mm_setr_epi8(21, 17, 17, 17, 17, 17, 17, 17, 17, 17, 19, 26, 27,
		27, 27, 26);
	/* By the high half; '/' has the place before '+'. */
	const __m128i add = _mm_setr_epi8(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a',
		26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
	const __m128i pack = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
	const __m128i half = _mm_set1_epi8(0x0f);
	size_t i = 0;

	for (; n - i >= 24; i += 16, out += 12) {
		__m128i c = _mm_loadu_si128((const void *)(p + i));
		__m128i high = _mm_and_si128(_mm_srli_epi32(c, 4), half);
		__m128i bad = _mm_and_si128(_mm_shuffle_epi8(class, high),
			_mm_shuffle_epi8(bad_for, _mm_and_si128(c, half)));

		if (_mm_movemask_epi8(_mm_cmpgt_epi8(bad, _mm_setzero_si128())))
			break;
		high = _mm_add_epi8(high, _mm_cmpeq_epi8(c, _mm_set1_epi8('/')));
		c = _mm_add_epi8(c, _mm_shuffle_epi8(add, high));
		c = _mm_maddubs_epi16(c, _mm_set1_epi32(0x01400140));
		c = _mm_madd_epi16(c, _mm_set1_epi32(0x00011000));
		_mm_storeu_si128((void *)out, _mm_shuffle_epi8(c, pack));
	}
	return i;
}

/* Whether the machine has it. Asked for when there is something to gain by it, and not by
 * __builtin_cpu_supports(), which asks at every start of the program: a guest of a
 * hypervisor waits some 10 us for each answer, as long as 100 KiB take without. */
static bool
has_ssse3(size_t n)
{
	enum { ASK_BYTES = 65536 };
	static size_t bytes;
	static int has;			/* 0: not known yet */
	int known = __atomic_load_n(&has, __ATOMIC_RELAXED);
	unsigned a, b, c, d;

	if (known)
		return known > 0;
	if (__atomic_add_fetch(&bytes, n, __ATOMIC_RELAXED) < ASK_BYTES)
		return false;
	__cpuid(1, a, b, c, d);
	__atomic_store_n(&has, c & bit_SSSE3 ? 1 : -1, __ATOMIC_RELAXED);
	return c & bit_SSSE3;
}
#endif

void
base64_encode(char *out, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

#if TEXT_SSSE3
	if (n >= 16 && has_ssse3(n)) {
		size_t done = encode_ssse3(out, p, n);

		p += done, n -= done, out += done / 3 * 4;
	}
#endif
	for (; n >= 3; n -= 3, p += 3, out += 4) {
		unsigned v = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];

		out[0] = alphabet[v >> 18];
		out[1] = alphabet[v >> 12 & 0x3f];
		out[2] = alphabet[v >> 6 & 0x3f];
		out[3] = alphabet[v & 0x3f];
	}
	if (n) {
		unsigned v = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0);

		out[0] = alphabet[v >> 18];
		out[1] = alphabet[v >> 12 & 0x3f];
		out[2] = n > 1 ? alphabet[v >> 6 & 0x3f] : '=';
		out[3] = '=';
	}
}

void
buf_add_base64(struct buf *b, const void *p, size_t n)
{
	size_t len = base64_len(n);

	if (len) {
		base64_encode(buf_room(b, len), p, n);
		buf_added(b, len);
	}
}

size_t
base64_decode_groups(char *out, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t i = 0;

#if TEXT_SSSE3
	if (n >= 24 && has_ssse3(n)) {
		i = decode_ssse3(out, text, n);
		out += i / 4 * 3;
	}
#endif
	for (; n - i >= 4; i += 4, out += 3) {
		unsigned a = sextet[p[i]], b = sextet[p[i + 1]];
		unsigned c = sextet[p[i + 2]], d = sextet[p[i + 3]];

		if (!a || !b || !c || !d)
			break;
		/* The ones that the table adds, taken off all at once. */
		unsigned v = (a << 18) + (b << 12) + (c << 6) + d - 0x41041;

		out[0] = (char)(v >> 16);
		out[1] = (char)(v >> 8);
		out[2] = (char)v;
	}
	return i;
}

static bool
is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static size_t
skip_newlines(const char *p, size_t n, size_t i)
{
	while (i < n && is_newline(p[i]))
		i++;
	return i;
}

/*
 * One group with something else than four characters of the alphabet in it:
 * newlines, padding, the end, or a fault. Advances *i and *o; false: *i is the
 * offset of the fault as Go counts it.
 */
static bool
decode_odd_group(char *out, size_t *o, const char *p, size_t n, size_t *i)
{
	unsigned v = 0, have = 0;

	for (; have < 4; have++) {
		*i = skip_newlines(p, n, *i);
		if (*i == n) {
			*i -= have;	/* of a group cut short: where it would begin */
			return have == 0;
		}
		unsigned six = sextet[(unsigned char)p[*i]];

		if (!six)
			break;
		v = v << 6 | (six - 1);
		++*i;
	}
	if (have == 4) {
		out[(*o)++] = (char)(v >> 16);
		out[(*o)++] = (char)(v >> 8);
		out[(*o)++] = (char)v;
		return true;
	}
	if (p[*i] != '=' || have < 2)
		return false;
	++*i;
	if (have == 2) {
		*i = skip_newlines(p, n, *i);
		if (*i == n)
			return false;
		if (p[*i] != '=') {
			--*i;
			return false;
		}
		++*i;
		out[(*o)++] = (char)(v >> 4);
	} else {
		out[(*o)++] = (char)(v >> 10);
		out[(*o)++] = (char)(v >> 2);
	}
	*i = skip_newlines(p, n, *i);
	return *i == n;			/* nothing may follow padding */
}

bool
base64_decode(char *out, size_t *len, const char *p, size_t n)
{
	size_t i = 0, o = 0;

	while (i < n) {
		size_t done = base64_decode_groups(out + o, p + i, n - i);

		i += done;
		o += done / 4 * 3;
		if (i < n && !decode_odd_group(out, &o, p, n, &i)) {
			*len = i;
			return false;
		}
	}
	*len = o;
	return true;
}

/* ---- hex ---- */

void
hex_encode(char *out, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++) {
		*out++ = "0123456789abcdef"[p[i] >> 4];
		*out++ = "0123456789abcdef"[p[i] & 15];
	}
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
hex_decode(char *out, const char *p, size_t n)
{
	if (n % 2)
		return false;
	for (size_t i = 0; i < n; i += 2) {
		int a = hex_digit(p[i]), b = hex_digit(p[i + 1]);

		if (a < 0 || b < 0)
			return false;
		*out++ = (char)(a << 4 | b);
	}
	return true;
}
