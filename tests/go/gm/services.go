// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"strconv"
	"time"

	"go-micro.dev/v5"
	"go-micro.dev/v5/client"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/server"
)

// userTopic is where the two services meet.
const userTopic = "user.registered"

// User is the payload. A plain struct sent as JSON is what the services of all
// release lines can read.
type User struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// user is the service that has new users, n of them.
func user(args []string) {
	flags := flag.NewFlagSet("user", flag.ExitOnError)
	n := flags.Int("n", 1, "users")
	interval := flags.Duration("interval", 10*time.Millisecond, "time between two users")
	linger := flags.Duration("linger", 200*time.Millisecond, "time before the end: Publish is asynchronous")
	flags.Parse(args)

	svc := newService("go.micro.test.user")
	must(svc.Client().Init(client.ContentType("application/json")))
	registered := micro.NewEvent(userTopic, svc.Client())
	for i := 0; i < *n; i++ {
		if i > 0 {
			time.Sleep(*interval)
		}
		ctx := metadata.NewContext(context.Background(), metadata.Metadata{"id": strconv.Itoa(i)})
		must(registered.Publish(ctx, &User{ID: i, Name: "ann", Email: "ann@example.org"}))
	}
	time.Sleep(*linger)
}

// mail is a line of email's output.
type mail struct {
	To     string `json:"to"`
	User   int    `json:"user"`
	Header string `json:"header_id"`
}

// email is the service that writes to them.
func email(args []string) {
	flags := flag.NewFlagSet("email", flag.ExitOnError)
	queue := flags.String("queue", "", "queue to share the users with")
	readyFD := flags.Int("ready-fd", -1, "descriptor to tell when subscribed")
	flags.Parse(args)

	svc := newService("go.micro.test.email", micro.AfterStart(func() error {
		ready(*readyFD)
		return nil
	}))
	var opts []server.SubscriberOption
	if *queue != "" {
		opts = append(opts, server.SubscriberQueue(*queue))
	}
	must(micro.RegisterSubscriber(userTopic, svc.Server(), func(ctx context.Context, u *User) error {
		id, _ := metadata.Get(ctx, "id")
		printJSON(mail{To: u.Email, User: u.ID, Header: id})
		return nil
	}, opts...))
	must(svc.Run())
}

// Greeter is the service of serve.
type Greeter struct{}

// Hello is a request and its answer.
type Hello struct {
	Name string `json:"name"`
}

// Hello greets.
func (g *Greeter) Hello(ctx context.Context, req *Hello, rsp *Hello) error {
	rsp.Name = "hello " + req.Name
	return nil
}

// serve is the service NAME, with an endpoint Greeter.Hello.
func serve(args []string) {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	readyFD := flags.Int("ready-fd", -1, "descriptor to tell when started")
	address := flags.String("address", "127.0.0.1:0", "address to listen at")
	flags.Parse(args)

	fd := *readyFD
	svc := newService(flags.Arg(0), micro.Address(*address), micro.AfterStart(func() error { ready(fd); return nil }))
	must(svc.Server().Handle(svc.Server().NewHandler(&Greeter{})))
	must(svc.Run())
}

// call asks the service NAME to greet WHOM, and prints the answer.
func call(args []string) {
	svc := newService("go.micro.test.call")
	must(svc.Client().Init(client.ContentType("application/json")))
	rsp := &Hello{}
	req := svc.Client().NewRequest(args[0], "Greeter.Hello", &Hello{Name: args[1]})
	must(svc.Client().Call(context.Background(), req, rsp))
	printJSON(rsp)
}
