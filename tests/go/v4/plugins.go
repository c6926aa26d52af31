// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "github.com/go-micro/plugins/v4/broker/kafka"
	"github.com/go-micro/plugins/v4/broker/redis"
)

func init() { readTimeout = redis.ReadTimeout }
