# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# MQTT 3.1.1 by Mosquitto: no headers of its own, and a publisher is not told what an
# access list refuses.
. "${BASH_SOURCE[0]%/*}/mqtt5.bash"
OPTIONS=(-X mqtt.version=3.1.1)
LACKS+=' acl'
CARRIES_RAW=''
