# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The null broker: confirms, and delivers nothing.
BROKER=null
LACKS='server deliver raw group ack keep password acl tls unix reconnect'
CARRIES='header key null-body null-header repeat-header binary-header binary-topic'
