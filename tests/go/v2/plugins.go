// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "github.com/micro/go-plugins/broker/kafka/v2"
	_ "github.com/micro/go-plugins/broker/mqtt/v2"
	"github.com/micro/go-plugins/broker/redis/v2"
	_ "github.com/micro/go-plugins/registry/consul/v2"
)

func init() { readTimeout = redis.ReadTimeout }
