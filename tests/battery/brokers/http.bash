# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The http broker: no server, so nothing that a server could do.
BROKER=http
LACKS='server raw ack keep password acl tls unix reconnect'
CARRIES='header null-body'
# A topic is part of a mdns name.
TOPICS=(t t.a.b t/a/b t:a t-a_b)
