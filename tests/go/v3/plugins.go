// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "github.com/asim/go-micro/plugins/broker/kafka/v3"
	_ "github.com/asim/go-micro/plugins/broker/nats/v3"
	"github.com/asim/go-micro/plugins/broker/redis/v3"
)

func init() { readTimeout = redis.ReadTimeout }
