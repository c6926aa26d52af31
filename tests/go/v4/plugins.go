// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "github.com/go-micro/plugins/v4/broker/kafka"
	_ "github.com/go-micro/plugins/v4/broker/nats"
	"github.com/go-micro/plugins/v4/broker/redis"
)

func init() { readTimeout = redis.ReadTimeout }
