# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# MQTT 3.1.1 by Mosquitto, with the driver on paho.mqtt.c.
. "${BASH_SOURCE[0]%/*}/mqtt311.bash"
OPTIONS+=(-X mqtt.driver=paho)
LACKS+=' unix sni'
