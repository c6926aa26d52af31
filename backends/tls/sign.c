/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 by OpenSSL: see tls_sign() in core/tls.h. */
#include "backends/tls/tls.h"

#include <openssl/evp.h>

enum { KEY = 32, SIGNATURE = 64 };

int
sign_ed25519(const unsigned char *seed, struct bytes text, unsigned char *public,
	unsigned char *signature, struct error *err)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, KEY);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t npublic = KEY, nsignature = SIGNATURE;
	bool done = key && md && EVP_PKEY_get_raw_public_key(key, public, &npublic) == 1 &&
		EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestSign(md, signature, &nsignature, (const unsigned char *)text.p, text.n) == 1;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	return done ? 0 : error_set(err, ERR_CONNECT, "cannot sign: %s", library_says());
}
