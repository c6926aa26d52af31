/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl_easy URL BODYFILE N: the yardstick for one request at a time: a tight loop
 * over one libcurl easy handle that POSTs the same body N times on one kept-alive
 * connection. Ends badly when any answer is not a 200.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

static size_t
discard(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

int
main(int argc, char **argv)
{
	static char body[1 << 20];
	struct curl_slist *headers = NULL;
	FILE *f = argc == 4 ? fopen(argv[2], "re") : NULL;
	size_t n = f ? fread(body, 1, sizeof body, f) : 0;
	CURL *c;

	if (n == 0) {
		fputs("usage: curl_easy URL BODYFILE N\n", stderr);
		return 2;
	}
	fclose(f);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	c = curl_easy_init();
	headers = curl_slist_append(headers, "Content-Type: application/json");
	curl_easy_setopt(c, CURLOPT_URL, argv[1]);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)n);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, discard);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	for (long i = atol(argv[3]); i > 0; i--) {
		CURLcode err = curl_easy_perform(c);
		long status = 0;

		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
		if (err || status != 200) {
			fprintf(stderr, "curl_easy: %s, status %ld\n", curl_easy_strerror(err), status);
			return 1;
		}
	}
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	curl_global_cleanup();
	return 0;
}
