# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# MQTT 5 by Mosquitto, with the driver on paho.mqtt.c, which knows no Unix sockets and
# checks the name of the address only.
. "${BASH_SOURCE[0]%/*}/mqtt5.bash"
OPTIONS+=(-X mqtt.driver=paho)
LACKS+=' unix sni'
