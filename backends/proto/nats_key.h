/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of NATS as text: base32 of what kind they are, 32 bytes of Ed25519, and a check sum.
 * A seed (SU...) makes the public key (U...) and signs what the server makes up. A creds
 * file has a seed, and a token (JWT) that says whose it is. No I/O, no cryptography.
 */
#ifndef MBUS_PROTO_NATS_KEY_H
#define MBUS_PROTO_NATS_KEY_H

#include "core/buf.h"

enum { NATS_KEY = 32, NATS_SIGNATURE = 64, NATS_PUBLIC_TEXT = 56, NATS_SEED_TEXT = 58 };

/* A user's seed, with white space around it. NULL, or why it is none; nothing of it is
 * quoted. */
const char *nats_seed_read(struct bytes text, unsigned char seed[NATS_KEY]);
void nats_public_text(const unsigned char key[NATS_KEY], char text[NATS_PUBLIC_TEXT + 1]);
/* base64 for URLs, without padding. */
void nats_add_base64url(struct buf *, const unsigned char *p, size_t n);
/* What is between the lines -----BEGIN NATS USER JWT----- and so on. false: not both. */
bool nats_creds_split(struct bytes file, struct bytes *jwt, struct bytes *seed);

#endif
