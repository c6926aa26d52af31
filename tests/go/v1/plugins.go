// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "github.com/micro/go-plugins/broker/kafka"
	_ "github.com/micro/go-plugins/broker/mqtt"
	"github.com/micro/go-plugins/broker/redis"
	_ "github.com/micro/go-plugins/registry/consul"
)

func init() { readTimeout = redis.ReadTimeout }
