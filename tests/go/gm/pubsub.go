// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unicode/utf8"

	"go-micro.dev/v5/broker"
)

// connect makes a service and hands out its broker, connected.
func connect(name string) broker.Broker {
	b := newService(name).Options().Broker
	must(b.Init())
	must(b.Connect())
	return b
}

// pub publishes n events with the header id = 0, 1, 2, ...
func pub(args []string) {
	flags := flag.NewFlagSet("pub", flag.ExitOnError)
	topic := flags.String("topic", "go.micro.topic.foo", "topic")
	n := flags.Int("n", 1, "events")
	interval := flags.Duration("interval", 10*time.Millisecond, "time between two events")
	burst := flags.Bool("burst", false, "no time between events")
	body := flags.String("body", "", "body; none: the event's number and the time")
	linger := flags.Duration("linger", 200*time.Millisecond, "time before the end: Publish is asynchronous")
	header := pairs{}
	flags.Var(header, "header", "k=v, may be given again")
	flags.Parse(args)

	b := connect("go.micro.test.pub")
	var tick <-chan time.Time
	if !*burst {
		tick = time.NewTicker(*interval).C
	}
	failed := 0
	for i := 0; i < *n; i++ {
		if i > 0 && tick != nil {
			<-tick
		}
		text := *body
		if text == "" {
			text = fmt.Sprintf("%d: %s", i, time.Now().UTC().Format(time.RFC3339))
		}
		msg := &broker.Message{Header: map[string]string{"id": strconv.Itoa(i)}, Body: []byte(text)}
		for k, v := range header {
			msg.Header[k] = v
		}
		if err := b.Publish(*topic, msg); err != nil {
			fmt.Fprintln(os.Stderr, "gm: publish:", err)
			failed = 1
		}
	}
	time.Sleep(*linger)
	must(b.Disconnect())
	os.Exit(failed)
}

// event is a line of sub's output.
type event struct {
	Topic  string            `json:"topic"`
	Header map[string]string `json:"header"`
	Body   *string           `json:"body,omitempty"`
	Base64 string            `json:"body_b64,omitempty"`
	bytes  []byte
}

// sub prints events until it has n, or a signal comes.
func sub(args []string) {
	flags := flag.NewFlagSet("sub", flag.ExitOnError)
	topic := flags.String("topic", "go.micro.topic.foo", "topic")
	n := flags.Int("n", 0, "end after so many events; 0: never")
	queue := flags.String("queue", "", "queue to share the topic with")
	count := flags.Bool("count", false, "print the number of events at the end, not the events")
	readyFD := flags.Int("ready-fd", -1, "descriptor to tell when subscribed")
	flags.Parse(args)

	b := connect("go.micro.test.sub")
	events := make(chan event, 1024)
	var opts []broker.SubscribeOption
	if *queue != "" {
		opts = append(opts, broker.Queue(*queue))
	}
	s, err := b.Subscribe(*topic, func(e broker.Event) error {
		events <- event{Topic: e.Topic(), Header: e.Message().Header, bytes: e.Message().Body}
		return nil
	}, opts...)
	must(err)
	ready(*readyFD)

	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGINT, syscall.SIGTERM)
	seen := 0
loop:
	for *n == 0 || seen < *n {
		select {
		case <-sig:
			break loop
		case line := <-events:
			seen++
			if *count {
				continue
			}
			if body := string(line.bytes); utf8.ValidString(body) {
				line.Body = &body
			} else {
				line.Base64 = base64.StdEncoding.EncodeToString(line.bytes)
			}
			printJSON(line)
		}
	}
	if *count {
		printJSON(seen)
	}
	must(s.Unsubscribe())
	must(b.Disconnect())
}
