// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
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

// secure is what go-micro programs say about TLS: Secure, a TLSConfig, or neither.
type secure struct {
	on            *bool
	cert, key, ca *string
}

func secureFlags(flags *flag.FlagSet) secure {
	return secure{
		on:   flags.Bool("secure", false, "broker.Secure(true)"),
		cert: flags.String("cert", "", "TLSConfig with this certificate"),
		key:  flags.String("key", "", "its key"),
		ca:   flags.String("ca", "", "whom the TLSConfig trusts; a subscriber then asks for certificates"),
	}
}

func (s secure) options() (opts []broker.Option) {
	if *s.on {
		opts = append(opts, broker.Secure(true))
	}
	if *s.cert == "" && *s.ca == "" {
		return opts
	}
	config := &tls.Config{}
	if *s.cert != "" {
		pair, err := tls.LoadX509KeyPair(*s.cert, *s.key)
		must(err)
		config.Certificates = []tls.Certificate{pair}
	}
	if *s.ca != "" {
		pem, err := os.ReadFile(*s.ca)
		must(err)
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
		config.ClientCAs = config.RootCAs
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return append(opts, broker.TLSConfig(config))
}

// readTimeout is the redis plugin's option ReadTimeout, where the release line has
// that plugin: ../LINE/plugins.go.
var readTimeout func(time.Duration) broker.Option

// connect makes a service and hands out its broker, connected.
func connect(name string, opts ...broker.Option) broker.Broker {
	b := newService(name).Options().Broker
	must(b.Init(opts...))
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
	file := flags.String("file", "", "file that holds the body")
	null := flags.Bool("null", false, "no body at all: nil")
	linger := flags.Duration("linger", 200*time.Millisecond, "time before the end: Publish is asynchronous")
	header := pairs{}
	flags.Var(header, "header", "k=v, may be given again")
	sec := secureFlags(flags)
	flags.Parse(args)

	b := connect("go.micro.test.pub", sec.options()...)
	var tick <-chan time.Time
	if !*burst {
		tick = time.NewTicker(*interval).C
	}
	var bytes []byte
	if *file != "" {
		var err error
		bytes, err = os.ReadFile(*file)
		must(err)
	}
	failed := 0
	for i := 0; i < *n; i++ {
		if i > 0 && tick != nil {
			<-tick
		}
		switch {
		case *null, *file != "":
		case *body != "":
			bytes = []byte(*body)
		default:
			bytes = []byte(fmt.Sprintf("%d: %s", i, time.Now().UTC().Format(time.RFC3339)))
		}
		msg := &broker.Message{Header: map[string]string{"id": strconv.Itoa(i)}, Body: bytes}
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

// event is a line of sub's output. Neither body nor body_b64: it was nil.
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
	forever := flags.Bool("no-read-timeout", false, "redis: ReadTimeout(0); else deaf after 5 s of silence")
	sec := secureFlags(flags)
	flags.Parse(args)

	options := sec.options()
	if *forever {
		options = append(options, readTimeout(0))
	}
	b := connect("go.micro.test.sub", options...)
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
			if line.bytes == nil {
			} else if body := string(line.bytes); utf8.ValidString(body) {
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
	// The redis plugin unsubscribes on a connection that it is reading, which
	// fails now and then ("short write"): the events are what counts.
	if err := s.Unsubscribe(); err != nil {
		fmt.Fprintln(os.Stderr, "gm: unsubscribe:", err)
	}
	must(b.Disconnect())
}
