// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/go-micro/plugins/v4/broker/redis"

func init() { readTimeout = redis.ReadTimeout }
